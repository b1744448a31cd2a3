"""The page in a real browser: Chromium, driven by Playwright. `make browser` installs the latter and runs this."""

import os
import shutil

import pytest

from page_payloads import EVIL, difference, ill_willed, many, picture, whole
from visprep.page import render
from visprep.page.payload import Item, Payload, Table

playwright = pytest.importorskip("playwright.sync_api", reason="no Playwright here: pip install 'visprep[browser]'")
CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="no Chromium here: apt-get install chromium")

DESKTOP = {"width": 1280, "height": 900}
PHONE = {"width": 390, "height": 844}
SHOTS = os.environ.get("VISPREP_SHOTS")  # a folder that screenshots are kept in, for people to look at


@pytest.fixture(scope="module")
def browser():
    with playwright.sync_playwright() as driver:
        running = driver.chromium.launch(executable_path=CHROMIUM)
        yield running
        running.close()


@pytest.fixture(scope="module")
def film(tmp_path_factory):
    """Two seconds of video as most browsers play it."""
    av = pytest.importorskip("av", reason="no PyAV here: pip install 'visprep[video]'")
    import numpy

    path = tmp_path_factory.mktemp("film") / "film.webm"
    with av.open(str(path), "w") as made:
        stream = made.add_stream("libvpx", rate=10)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        for at in range(20):
            frame = av.VideoFrame.from_ndarray(numpy.full((48, 64, 3), at * 12, numpy.uint8), format="rgb24")
            made.mux(stream.encode(frame))
        made.mux(stream.encode())
    return path.read_bytes()


@pytest.fixture(scope="module")
def pages(tmp_path_factory, film):
    """Each payload as a file, by name."""
    folder = tmp_path_factory.mktemp("pages")
    made = {"whole": whole(film), "difference": difference(), "ill": ill_willed(), "many": many()}
    made["empty"] = Payload("Nothing", "data/empty", "coco")
    made["one"] = Payload("One", "data/one", "coco", items=(Item("a.jpg", pictures=(picture(1),)),), total=1)
    for name, payload in made.items():
        with (folder / f"{name}.html").open("w", encoding="utf-8", newline="") as file:
            file.writelines(render(payload))
    return folder


@pytest.fixture
def view(browser, pages):
    """`view(name)` -> the page, open in a window of its own. What goes wrong in it is an error, and what it fetches."""
    opened = []

    def show(name, size=DESKTOP, dark=False, after="", **more):
        scheme = "dark" if dark else "light"
        context = browser.new_context(viewport=size, color_scheme=scheme, offline=True, **more)
        page = context.new_page()
        page.set_default_timeout(10_000)
        wrong, asked = [], []
        page.on("console", lambda told: wrong.append(told.text) if told.type in ("error", "warning") else None)
        page.on("pageerror", lambda error: wrong.append(str(error)))
        page.on("request", lambda request: asked.append(request.url[:60]))
        opened.append((context, wrong, asked))
        page.goto(f"file://{pages}/{name}.html{after}")
        return page

    yield show
    for context, wrong, asked in opened:
        context.close()
        assert wrong == []
        assert [url for url in asked if not url.startswith(("file:", "data:", "blob:"))] == []


def shoot(page, name, whole_page=True):
    if SHOTS:
        page.screenshot(path=f"{SHOTS}/{name}.png", full_page=whole_page)


def names(page):
    return page.locator("#gallery .card .name").all_text_contents()


def grave(page):
    """What axe-core finds that keeps people out."""
    axe = pytest.importorskip("axe_playwright_python.sync_playwright", reason="no axe here: visprep[browser]").Axe()
    found = axe.run(page).response["violations"]
    return [
        f"{one['id']}: {node['html'][:200]} {node.get('failureSummary', '')}"
        for one in found
        for node in one["nodes"]
        if one["impact"] in ("serious", "critical", "moderate")
    ]


@pytest.mark.parametrize("size", [DESKTOP, PHONE], ids=["desktop", "phone"])
@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
def test_it_looks_right_and_keeps_nobody_out(view, size, dark):
    name = f"{'phone' if size is PHONE else 'desktop'}-{'dark' if dark else 'light'}"
    page = view("whole", size, dark)
    assert page.evaluate("document.documentElement.scrollWidth") == size["width"]
    assert grave(page) == []
    shoot(page, name)
    back = page.evaluate("getComputedStyle(document.body).backgroundColor")
    assert back == ("rgb(20, 23, 27)" if dark else "rgb(246, 247, 249)")
    for at, item in enumerate(("000000000003", "maze_0000", "00891_00")):
        page.get_by_label("Search").fill(item)
        page.locator("#gallery .card").first.click()
        page.wait_for_timeout(50)
        assert page.evaluate("document.querySelector('dialog').scrollWidth") <= size["width"]
        assert grave(page) == []
        shoot(page, f"{name}-detail-{at}", whole_page=False)
        page.keyboard.press("Escape")


@pytest.mark.parametrize("name", ["difference", "ill", "empty", "one"])
def test_other_pages_keep_nobody_out_either(view, name):
    page = view(name)
    assert grave(page) == []
    shoot(page, name)
    if name != "empty":
        page.locator("#gallery .card").first.click()
        page.wait_for_timeout(50)
        assert grave(page) == []
        shoot(page, f"{name}-detail", whole_page=False)


def test_ill_will_is_shown_and_does_nothing(view):
    page = view("ill")
    assert page.evaluate("window.broken") is None
    assert page.locator("h1").text_content() == EVIL
    assert names(page) == [EVIL, EVIL]
    page.locator("#gallery .card").first.click()
    dialog = page.locator("dialog")
    assert dialog.locator("h2").text_content() == EVIL
    assert EVIL in dialog.locator(".text").all_text_contents()
    assert EVIL in dialog.locator(".one .name").all_text_contents()
    page.keyboard.press("ArrowRight")
    page.keyboard.press("Escape")
    assert page.locator("#findings a").count() == 0
    assert page.evaluate("window.broken") is None


def test_filters_and_search_narrow_the_gallery(view):
    page = view("whole")
    told = page.locator("#gallery output")
    assert told.text_content() == "1 to 60 of 136"
    page.get_by_label("Split", exact=True).select_option(label="val2017 (66)")
    assert told.text_content() == "1 to 60 of 66"
    page.get_by_label("Class", exact=True).select_option(label="person (64)")
    assert told.text_content() == "32 of 136"
    page.get_by_label("Finding", exact=True).select_option(label="box-tiny (4)")
    assert told.text_content() == "0 of 136"
    assert "Nothing matches" in page.locator("#gallery .cards").text_content()
    page.get_by_role("button", name="Clear").click()
    assert told.text_content() == "1 to 60 of 136"
    page.get_by_label("Search").fill("  BALL steps 0001 ")
    assert names(page) == ["maze_task/maze_0001"]


def test_pages_of_the_gallery_turn(view):
    page = view("whole")
    assert len(names(page)) == 60
    top = page.get_by_role("group", name="Pages of items", exact=True)
    assert top.get_by_role("button", name="Previous").is_disabled()
    page.get_by_role("group", name="Pages of items, below").get_by_role("button", name="Next").click()
    top.get_by_role("button", name="Next").click()
    assert top.text_content() == "← PreviousPage 3 of 3Next →"
    assert top.get_by_role("button", name="Next").is_disabled()
    assert names(page)[-1] == "val2017/broken.jpg"
    assert "Cut short" in page.locator("#gallery .missing").text_content()


def test_shapes_lie_where_they_are_on_the_picture(view):
    page = view("whole")
    page.locator("#gallery .card").nth(3).click()
    page.wait_for_selector(".labels span")
    picture = page.locator("dialog img").bounding_box()
    assert picture["width"] / picture["height"] == pytest.approx(640 / 480, rel=0.01)
    # The ball's box, of pixels of the original, on the screen
    ball = page.evaluate("""() => {
        const area = document.querySelector('dialog .shape:not(.halo)').getBoundingClientRect();
        return [area.x, area.y, area.width, area.height];
    }""")
    scale = picture["width"] / 640
    expected = [picture["x"] + 350 * scale, picture["y"] + 165 * scale, 125 * scale, 125 * scale]
    assert ball == pytest.approx(expected, abs=3)
    labels = page.locator(".labels span").all_text_contents()
    assert labels == ["ball", "hill", "person"]
    assert page.locator("dialog .filled").count() == 1
    # Three bones of four: one ends at a point that is not there
    assert page.locator("dialog .dots.shape:not(.halo)").count() == 2
    page.get_by_label("Labels").uncheck()
    assert page.locator(".labels").count() == 0
    page.get_by_label("Shapes").uncheck()
    assert page.locator("dialog svg").count() == 0


def test_a_small_picture_has_its_shapes_in_place_too(view):
    page = view("whole")
    card = page.locator("#gallery .card").nth(0)
    frame = card.locator(".frame").bounding_box()
    scale = min(frame["width"] / 640, frame["height"] / 480)
    left = frame["x"] + (frame["width"] - 640 * scale) / 2
    shape = card.locator(".shape").first.bounding_box()
    assert shape["x"] == pytest.approx(left + 350 * scale, abs=3)
    assert shape["width"] == pytest.approx(125 * scale, abs=3)


def test_classes_are_drawn_or_not(view):
    page = view("whole")
    drawn = page.locator("#gallery .card").nth(3).locator("path")
    before = drawn.count()
    page.get_by_text("Classes that are drawn").first.click()
    page.get_by_label("hill").uncheck()
    assert page.locator("#gallery .filled").count() == 0
    assert drawn.count() == before - 1
    page.get_by_role("button", name="Draw none").click()
    assert page.locator("#gallery path").count() == 0
    page.get_by_role("button", name="Draw all").click()
    assert drawn.count() == before


def test_it_is_walked_by_keyboard(view):
    page = view("whole")
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.textContent") == "Skip to the content"
    page.keyboard.press("/")
    page.keyboard.type("val2017/")
    assert page.get_by_label("Search").input_value() == "val2017/"
    page.locator("#gallery .card").first.focus()
    page.keyboard.press("ArrowRight")
    page.keyboard.press("Enter")
    title = page.locator("dialog h2")
    assert title.text_content() == names(page)[1]
    page.keyboard.press("ArrowRight")
    page.keyboard.press("ArrowRight")
    page.keyboard.press("ArrowLeft")
    assert title.text_content() == names(page)[2]
    assert page.url.endswith("#item-5")
    page.keyboard.press("Escape")
    assert not page.locator("dialog").is_visible()
    assert page.evaluate("document.activeElement.className") == "card"


def test_arrows_stop_at_both_ends(view):
    page = view("whole")
    page.get_by_label("Search").fill("maze")
    page.locator("#gallery .card").first.click()
    for _ in range(5):
        page.keyboard.press("ArrowRight")
    assert page.locator("dialog h2").text_content() == "maze_task/maze_0002"
    assert page.locator("dialog [role=status]").text_content() == "3 of 3"
    assert page.get_by_label("Next item").is_disabled()
    assert page.locator("dialog").is_visible()


def test_an_item_has_an_address(view):
    page = view("whole", after="#item-130")
    assert page.locator("dialog h2").text_content() == "maze_task/maze_0000"
    assert page.locator("dialog .text").text_content() == "Move the ball 1 steps\nto the right."
    assert page.locator("dialog figcaption").all_text_contents()[:2] == [
        "First frame · 512 \u00d7 512 pixels",
        "Final frame · 512 \u00d7 512 pixels",
    ]


def test_a_card_has_words_of_what_there_is_to_see(view):
    page = view("whole")
    page.get_by_label("Search").fill("broken")
    assert page.locator("#gallery .card .name").text_content() == "val2017/broken.jpg"
    assert page.locator("#gallery .card .words").count() == 0
    page.get_by_label("Search").fill("maze_0000")
    assert page.locator("#gallery .card .words").text_content().startswith("Move the ball 1 steps")


def test_sentences_begin_large_and_names_as_they_are(view):
    page = view("whole", after="#item-130")
    first = "one => getComputedStyle(one, '::first-letter').textTransform"
    looks = {one.text_content(): one.evaluate(first) for one in page.locator("dt, figcaption").all()}
    assert looks["Date"] == looks["First frame · 512 \u00d7 512 pixels"] == "uppercase"
    assert looks["--method"] == looks["2 seconds"] == "none"


def test_a_video_plays_where_it_can_and_says_where_it_cannot(view):
    page = view("whole", after="#item-130")
    page.wait_for_function("() => document.querySelector('video').readyState > 1")
    assert page.evaluate("document.querySelector('video').duration") == pytest.approx(2, abs=0.2)
    page.evaluate("document.querySelector('video').play()")
    page.wait_for_function("() => document.querySelector('video').currentTime > 0.2")
    page.keyboard.press("ArrowRight")
    page.wait_for_selector("text=This browser cannot play the video (video/mp4).")
    assert "Cut short." in page.locator("dialog").text_content()
    page.keyboard.press("ArrowRight")
    assert "The video is not in this page." in page.locator("dialog").text_content()
    assert page.locator("video").count() == 0


def test_findings_lead_to_their_items(view):
    page = view("whole")
    rows = page.locator("#findings tbody tr")
    assert rows.count() == 5
    link = page.locator("#findings a")
    assert link.get_attribute("href") == "https://example.org/findings.html#box-outside-image"
    page.get_by_label("Code").select_option(label="box-outside-image (213)")
    assert page.get_by_text("1 of 213 are listed.").is_visible()
    page.get_by_label("Code").select_option(label="image-truncated (2)")
    assert rows.count() == 2
    assert not page.get_by_text("are listed.", exact=True).is_visible()
    page.get_by_role("button", name="Show val2017/broken.jpg").first.click()
    assert page.locator("dialog h2").text_content() == "val2017/broken.jpg"
    assert page.locator("dialog .side .list p").all_text_contents() == [  # of one code, of two files
        "error image-truncated",
        "The file ends before the picture does. val2017/broken.jpg",
        "It is said to be whole. annotations/captions.json",
        "Fetch it again: visprep fix --how refetch",
    ]
    page.keyboard.press("ArrowLeft")
    assert page.locator("dialog h2").text_content() == "train2017/000000000020.jpg"


def test_pairs_stand_side_by_side(view):
    page = view("whole")
    pair = page.locator(".pair").first
    assert "Near-duplicates across splits (distance 3)" in pair.text_content()
    left, right = (pair.locator(".card").nth(at).bounding_box() for at in (0, 1))
    assert left["y"] == right["y"]
    assert left["x"] < right["x"]
    pair.locator(".card").nth(1).click()
    assert page.locator("dialog [role=status]").text_content() == "2 of 2"


def test_what_differs_is_told_by_more_than_color(view):
    page = view("difference")
    assert page.locator("#findings thead").text_content() == "DifferenceWhat differs"
    assert page.locator(".legend li").count() == 6
    page.locator("#gallery .card").click()
    assert page.locator(".one .name").all_text_contents() == [
        "→ ball",
        "← ball",
        "+ person",
        "\u2212 hill",
        "≠ cloud",
        "sun",
    ]
    assert page.evaluate("getComputedStyle(document.querySelector('dialog .removed')).strokeDasharray") == "7px, 4px"
    shown = page.get_by_role("button", name="→ ball")
    shown.hover()
    assert page.locator("dialog g.dimmed").count() == 5


def test_two_thousand_items_are_paged_and_parsed_when_seen(view, pages):
    assert (pages / "many.html").stat().st_size < 20_000_000
    page = view("many")
    assert page.locator("#gallery output").text_content() == "1 to 60 of 2,000"
    assert page.evaluate("document.querySelectorAll('*').length") < 5000
    page.get_by_label("Class", exact=True).select_option(label="class 0 (100)")
    assert page.locator("#gallery output").text_content() == "1 to 60 of 100"
    page.get_by_label("Search").fill("001980")
    assert names(page) == ["001980.jpg"]
    page.locator("#gallery .card").click()
    assert page.locator(".one").count() == 30


def test_on_paper_it_is_light_and_has_no_controls(view):
    page = view("whole", dark=True)
    page.emulate_media(media="print", color_scheme="dark")
    assert page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)"
    assert not page.get_by_label("Search").is_visible()
    assert page.locator("#charts").is_visible()
    shoot(page, "print")


def test_without_scripts_it_says_so(view):
    page = view("whole", java_script_enabled=False)
    assert "scripts are off here" in page.locator("main").text_content()
    assert page.locator("#charts tr").count() > 80


def test_words_on_a_phone_are_whole_in_a_table_and_do_not_leave_their_card(browser, tmp_path):
    table = Table("Numbers", ("", "removed", "added", "changed", ""), (("annotations", "1", "0", "3", "1 moved"),))
    item = Item("a.jpg", "annotations/" + "instances" * 9 + ".json", pictures=(picture(1),))
    payload = Payload("Differences", "a", "diff", tables=(table,), items=(item,), total=1)
    (tmp_path / "page.html").write_text("".join(render(payload)), encoding="utf-8")
    page = browser.new_page(viewport=PHONE)
    page.goto(f"file://{tmp_path}/page.html")
    lines = page.locator(".wide th, .wide td").evaluate_all(
        "cells => cells.filter(one => one.textContent.length > 3 && !one.textContent.includes(' '))"
        ".map(one => { const range = document.createRange(); range.selectNodeContents(one);"
        " return new Set([...range.getClientRects()].map(box => box.top)).size })"
    )
    assert lines == [1, 1, 1, 1]
    card, group = page.locator(".card").bounding_box(), page.locator(".card .meta span").first.bounding_box()
    assert group["x"] + group["width"] <= card["x"] + card["width"]
    page.close()
