"""How fast models are on this computer, and what memory they take: every row in fresh processes, in turn.

>>> from cmmdl.bench import Case, Plan, Row, measure
>>> rows = [Row(Case("cmmdl-ivf", "torch")), Row(Case("cmmdl-ivf", "onnxruntime"))]
>>> measure(rows, Plan(seconds=60))
>>> rows[0].time.median
"""

from cmmdl.bench.case import Case, cases_of
from cmmdl.bench.row import Process, Row, Spread, baselines, spread
from cmmdl.bench.run import Plan, measure

__all__ = ["Case", "Plan", "Process", "Row", "Spread", "baselines", "cases_of", "measure", "spread"]
