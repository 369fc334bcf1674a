"""The dashboard: `streamlit run app.py`, or `wcord app`."""

from wcord.lab.dashboard import show

show()
