"""The field's data sets: where to get them, their published layouts, and folders of pairs that can be trusted."""

from cmmdl.datasets.catalogue import CATALOGUE, DataSet, find_data_set
from cmmdl.datasets.check import check_sets, find_sets
from cmmdl.datasets.preparation import plan, prepare
from cmmdl.datasets.report import Report

__all__ = ["CATALOGUE", "DataSet", "Report", "check_sets", "find_data_set", "find_sets", "plan", "prepare"]
