"""The paper's section 5.2 on Fashion-MNIST: LeNet, momentum 0.9, batch 32, labels split by Dirichlet(alpha).

python experiments/fashion_mnist.py --quick     # minutes on two cores
python experiments/fashion_mnist.py             # n = 25, 100, 400 and alpha = 0.1, 1, 10: for an accelerator
"""

import optax
from networks import Settings, command, run_all

import telejax as tj


def main(settings: Settings) -> None:
    data = tj.data.fashion_mnist(settings.data_dir)

    def make_task(nodes: int, alpha: float, evaluated: tuple[int, int, int]) -> tj.tasks.Classification:
        return tj.tasks.classification(
            data, nodes=nodes, alpha=alpha, model="lenet", batch=32, evaluated=evaluated, seed=0
        )

    run_all(settings, make_task, tj.optimizer(optax.sgd, learning_rate=0.1, momentum=0.9))


if __name__ == "__main__":
    command(main, __doc__)
