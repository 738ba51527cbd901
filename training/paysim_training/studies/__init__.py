"""Studies that train many policies and report on them."""
