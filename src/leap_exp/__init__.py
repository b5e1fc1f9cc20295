"""leap_exp: training LLM agents from privileged teachers (LEAP, Choudhury & Sodhi, ICLR 2025)."""

__version__ = "0.1.0"
