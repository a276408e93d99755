"""QuickDraw and the other sketchrnn sets: python -m data.quickdraw --help."""
