"""From wrong arrays to the mistake behind them: the known mistakes, and questions."""
