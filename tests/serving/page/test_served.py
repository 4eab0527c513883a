"""What is served of the page, and how."""

import re
from pathlib import Path

import pytest
from fastapi.testclient import TestClient

from drdd.errors import UserError
from drdd.serving.page import STATIC, TEMPLATES, router
from tests.inference.blurring import noise_png


@pytest.mark.parametrize("path", ["/", *(f"/static/{name}" for name in STATIC)])
def test_the_page_is_safe_and_asks_no_other_host(client: TestClient, path: str) -> None:
    answer = client.get(path)
    assert answer.status_code == 200
    assert set(answer.headers.get_list("X-Content-Type-Options")) == {"nosniff"}
    policy = answer.headers["Content-Security-Policy"]
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy
    assert set(re.findall(r"(?:https?:)?//([\w.-]+\.\w+)", answer.text)) <= {"www.w3.org"}


def test_every_file_of_the_page_is_served(client: TestClient) -> None:
    assert {path.name for path in TEMPLATES.glob("*.[cj]s*")} == set(STATIC)
    assert client.get("/static/page.html").status_code == 404


def test_an_unchanged_file_is_not_sent_again(client: TestClient) -> None:
    for path in ("/", "/static/page.js", "/samples/rain.png"):
        first = client.get(path)
        again = client.get(path, headers={"If-None-Match": f'"other", W/{first.headers["ETag"]}'})
        assert (again.status_code, again.content) == (304, b"")
        assert client.get(path, headers={"If-None-Match": '"other"'}).content == first.content
        head = client.head(path)
        assert (head.content, head.headers["ETag"]) == (b"", first.headers["ETag"])


def test_samples_are_looked_up_by_name_alone(client: TestClient, samples: dict[str, Path]) -> None:
    (samples["rain.png"].parent / "secret.png").write_bytes(noise_png())
    assert client.get("/samples").json() == {"samples": ["dark_street.png", "rain.png"]}
    answer = client.get("/samples/rain.png")
    assert answer.content == samples["rain.png"].read_bytes()
    assert answer.headers["Content-Type"] == "image/png"
    assert "immutable" in answer.headers["Cache-Control"]
    for name in ("secret.png", "..%2Frain.png", "%2e%2e/rain.png", "rain.png%00", "", "rain"):
        assert client.get(f"/samples/{name}", follow_redirects=False).status_code in (307, 404)


def test_nothing_of_the_page_is_in_the_document_of_the_api(client: TestClient) -> None:
    paths = client.get("/openapi.json").json()["paths"]
    assert paths
    assert not [path for path in paths if not path.startswith(("/v1/", "/metrics"))]


def test_a_sample_that_cannot_be_shown_is_refused_at_the_start(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"sample gone: .*gone\.png cannot be read"):
        router({"gone": tmp_path / "gone.png"})
    with pytest.raises(UserError, match=r"sample page: .* is no PNG, JPEG or WebP"):
        router({"page": TEMPLATES / "page.html"})
