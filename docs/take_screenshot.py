"""Takes the README's picture of the asset graph: the real UI in headless Chromium.

`make screenshot`; needs Debian's `chromium`. Start `make dev` first, in another terminal.
"""

import argparse
from pathlib import Path

from playwright.sync_api import sync_playwright

PAGE = "/locations/lookup_pipeline/asset-groups/lookup_pipeline/lineage"
TARGET = Path(__file__).parent / "asset-graph.png"


def main() -> None:
    """Open the asset graph, wait until it is drawn, and save it."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--url", default="http://localhost:3000")
    parser.add_argument("--chromium", default="/usr/bin/chromium")
    options = parser.parse_args()
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=options.chromium,
            args=["--no-sandbox", "--disable-gpu", "--disable-background-networking"],
        )
        page = browser.new_page(viewport={"width": 1500, "height": 900})
        page.goto(f"{options.url}{PAGE}")
        page.get_by_text("pending_lookups").first.wait_for(timeout=60_000)
        # The graph is laid out by a worker, and its nodes fill with the latest run after that.
        page.wait_for_timeout(6_000)
        page.screenshot(path=str(TARGET))
        browser.close()


if __name__ == "__main__":
    main()
