"""MAESTRO, performances of piano competitions: python -m data.maestro --help."""
