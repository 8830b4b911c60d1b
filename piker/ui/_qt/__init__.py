"""The chart in windows: Qt by PySide6, arrays to the painter by pyqtgraph."""
