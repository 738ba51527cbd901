"""Payments files and the calibration of scenarios on them."""

from paysim_gym.payments.calibration import calibrate, calibrated_yaml
from paysim_gym.scenario.payments_file import PaymentTable, load_payments

__all__ = ["PaymentTable", "calibrate", "calibrated_yaml", "load_payments"]
