"""The dashboard: `streamlit run app.py`."""

from pathlib import Path

import streamlit as st

LAB = Path(__file__).parent / "lab"

st.set_page_config(page_title="WCoRD lab", page_icon=str(LAB / "icon.svg"), layout="wide")
PAGES = (
    ("live", "Live", "monitoring"),
    ("compare", "Compare", "compare"),
    ("laboratory", "Laboratory", "science"),
    ("playground", "Playground", "scatter_plot"),
    ("tour", "Tour", "school"),
    ("runs", "Runs", "list"),
)
page = st.navigation(
    [
        st.Page(
            LAB / "pages" / f"{name}.py",
            title=title,
            icon=f":material/{icon}:",
            default=name == "live",
        )
        for name, title, icon in PAGES
    ],
    position="top",
)
page.run()
