"""A mixed-integer linear program that is built variable by variable and solved by HiGHS."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
from scipy.optimize import Bounds, LinearConstraint, OptimizeResult, milp
from scipy.sparse import csr_array

Terms = Mapping[int, float]
"""A linear expression: index of a variable to its coefficient."""


@dataclass
class MixedIntegerProgram:
    """Variables with costs and bounds, and linear constraints between them.

    Attributes:
        costs: Objective coefficient of each variable.
        lower_bounds: Lower bound of each variable.
        upper_bounds: Upper bound of each variable.
        is_integer: Whether each variable must be an integer.
        constraints: Linear expressions with their lower and upper bounds.
    """

    costs: list[float] = field(default_factory=list)
    lower_bounds: list[float] = field(default_factory=list)
    upper_bounds: list[float] = field(default_factory=list)
    is_integer: list[bool] = field(default_factory=list)
    constraints: list[tuple[Terms, float, float]] = field(default_factory=list)

    def add_variable(
        self, cost: float = 0.0, low: float = 0.0, high: float = np.inf, *, is_integer: bool = False
    ) -> int:
        """Adds a variable and returns its index."""
        self.costs.append(cost)
        self.lower_bounds.append(low)
        self.upper_bounds.append(high)
        self.is_integer.append(is_integer)
        return len(self.costs) - 1

    def add_binary(self, cost: float = 0.0) -> int:
        """Adds a 0-1 variable and returns its index."""
        return self.add_variable(cost, high=1, is_integer=True)

    def add_constraint(self, terms: Terms, low: float = -np.inf, high: float = np.inf) -> None:
        """Bounds a linear expression."""
        self.constraints.append((terms, low, high))

    def solve(self, node_limit: int, relative_gap: float) -> OptimizeResult:
        """Minimises the objective with HiGHS.

        Args:
            node_limit: Maximum number of branch-and-bound nodes. Unlike a time limit, it gives the same
                result on every machine.
            relative_gap: Relative gap at which the solver stops.
        """
        entries = [(row, *term) for row, (terms, *_) in enumerate(self.constraints) for term in terms.items()]
        rows, columns, coefficients = zip(*entries, strict=True)
        shape = (len(self.constraints), len(self.costs))
        _, low, high = zip(*self.constraints, strict=True)
        return milp(
            self.costs,
            integrality=np.array(self.is_integer, np.int64),
            bounds=Bounds(self.lower_bounds, self.upper_bounds),
            constraints=LinearConstraint(csr_array((coefficients, (rows, columns)), shape=shape), low, high),
            options={"node_limit": node_limit, "mip_rel_gap": relative_gap},
        )
