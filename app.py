"""The entry of the lab: `streamlit run app.py`."""

from pathlib import Path

import streamlit as st

LAB = Path(__file__).parent / "lab"

st.set_page_config(page_title="WCoRD lab", page_icon=str(LAB / "icon.svg"), layout="wide")
st.navigation(
    [
        st.Page(LAB / "pages/live.py", title="Live", icon=":material/monitoring:", default=True),
        st.Page(
            LAB / "pages/playground.py",
            title="Transport playground",
            icon=":material/scatter_plot:",
        ),
    ],
    position="top",
).run()
