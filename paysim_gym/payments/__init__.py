"""Payments files and the calibration of scenarios on them."""

from paysim_gym.payments.calibration import calibrate, calibrated_yaml
from paysim_gym.payments.payments_file import Payments, load_payments

__all__ = ["Payments", "calibrate", "calibrated_yaml", "load_payments"]
