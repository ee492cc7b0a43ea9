"""The paper's tables and figures, each repeated by one command at any budget (arXiv 2205.07514)."""
