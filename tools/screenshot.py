"""Take docs/page.png: the page, as ``make run`` serves it."""

from tempfile import TemporaryDirectory

from tests.browser import chromium, visiting
from tests.servers import ROOT, flask_run

PICTURE = ROOT / "docs" / "page.png"

if __name__ == "__main__":
    with (
        TemporaryDirectory() as folder,
        flask_run(f"sqlite:///{folder}/statuses.db", "127.0.0.1") as server,
        chromium() as browser,
        visiting(browser) as visit,
    ):
        visit.open(server.url)
        visit.page.screenshot(path=PICTURE)
