"""The paper's section 5.2 on CIFAR-10: a small VGG, momentum 0.9, batch 32, random crops and flips.

python experiments/cifar10.py --data-dir FOLDER --quick
python experiments/cifar10.py --data-dir FOLDER             # for an accelerator
"""

from networks import Settings, command, run_all

import telejax as tj
from telejax.optimizers import decayed_sgd


def main(settings: Settings) -> None:
    data = tj.data.cifar10(settings.data_dir)

    def make_task(nodes: int, alpha: float, evaluated: tuple[int, int, int]) -> tj.tasks.Classification:
        return tj.tasks.classification(
            data, nodes=nodes, alpha=alpha, model="vgg", batch=32, augment="crop+flip", evaluated=evaluated, seed=0
        )

    run_all(settings, make_task, tj.optimizer(decayed_sgd, learning_rate=0.1, momentum=0.9, weight_decay=5e-4))


if __name__ == "__main__":
    command(main, __doc__)
