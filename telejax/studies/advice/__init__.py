"""Advice for decision makers: from what is known of sites to whether and how they should train together."""

from telejax.studies.advice.advice import Advice
from telejax.studies.advice.decide import Decision
from telejax.studies.advice.site_file import read_sites
from telejax.studies.advice.sites import Aim, Data, Group, Learner, Prices, Sites

__all__ = ["Advice", "Aim", "Data", "Decision", "Group", "Learner", "Prices", "Sites", "read_sites"]
