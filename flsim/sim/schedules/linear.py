"""Linear equations, solved with the same bits on every processor."""

import numpy as np
from numpy.typing import NDArray


def solve(matrix: NDArray[np.float64], right: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return x with `matrix` @ x = `right`: [n, n] and [n] to [n].

    Gaussian elimination with partial pivoting, in elementwise operations only: the last bits of
    `numpy.linalg.solve` depend on the machine's BLAS, and records must not. For a few hundred unknowns.
    Raises ZeroDivisionError when the matrix is singular.
    """
    rows = np.concatenate([matrix, right[:, None]], axis=1)
    count = len(right)
    for i in range(count):
        pivot = i + int(np.argmax(np.abs(rows[i:, i])))
        rows[[i, pivot]] = rows[[pivot, i]]
        if rows[i, i] == 0:
            raise ZeroDivisionError("the matrix is singular")
        factors = rows[i + 1 :, i] / rows[i, i]
        rows[i + 1 :, i:] -= factors[:, None] * rows[i, None, i:]
    solution = np.zeros(count)
    remainder = rows[:, -1]
    for i in reversed(range(count)):
        solution[i] = remainder[i] / rows[i, i]
        remainder[:i] -= rows[:i, i] * solution[i]
    return solution
