"""Games: independent learners on the liquidity games of Castro et al. (2025)."""
