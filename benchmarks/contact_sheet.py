"""Contact sheets: crops of the original and of every codec side by side, from files of crops."""

import html
import io
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from PIL import Image, ImageDraw, ImageFont

from benchmarks.crops import Cell, Crops, Picture, unpacked

MARGIN = 6  # pixels
LABEL_HEIGHT = 36  # below each crop
LINE_HEIGHT = 16
FONT_SIZE = 13
COLOURS = ("#000000", "#444444")  # of the two lines of a label
SMALLEST = 1.02  # a file larger than wanted by this factor is the smallest of its codec


@dataclass(frozen=True)
class Tile:
    """A crop with its place on the sheet in pixels, and the two lines below it."""

    left: int
    top: int
    pixels: str  # as in `Cell`
    lines: tuple[str, str]


@dataclass(frozen=True)
class Sheet:
    """One picture: a row for each rate; the original, then a column for each codec."""

    name: str
    width: int  # pixels
    height: int
    side: int  # of the crops
    tiles: tuple[Tile, ...]

    @classmethod
    def of(cls, crops: Crops, picture: Picture) -> "Sheet":
        """Lay out one picture of a file of crops."""
        side = unpacked(picture.original).width
        cells = {(c.codec, c.wanted_bpp): c for c in crops.cells if c.picture == picture.name}
        step_x, step_y = side + MARGIN, side + LABEL_HEIGHT + MARGIN
        tiles = []
        for row, rate in enumerate(crops.rates):
            top = MARGIN + row * step_y
            lines = ("Original", picture.name)
            tiles.append(Tile(MARGIN, top, picture.original, lines))
            for column, codec in enumerate(crops.codecs, start=1):
                cell = cells[codec, rate]
                lines = labels(cell, crops.codecs[codec]["label"])
                tiles.append(Tile(MARGIN + column * step_x, top, cell.pixels, lines))
        width = MARGIN + (1 + len(crops.codecs)) * step_x
        height = MARGIN + len(crops.rates) * step_y
        return cls(Path(picture.name).stem, width, height, side, tuple(tiles))

    def png(self) -> bytes:
        canvas = Image.new("RGB", (self.width, self.height), "white")
        draw = ImageDraw.Draw(canvas)
        font = ImageFont.load_default(size=FONT_SIZE)
        for tile in self.tiles:
            canvas.paste(unpacked(tile.pixels), (tile.left, tile.top))
            for number, line in enumerate(tile.lines):
                place = (tile.left, tile.top + self.side + 1 + number * LINE_HEIGHT)
                draw.text(place, line, fill=COLOURS[number], font=font)
        buffer = io.BytesIO()
        canvas.save(buffer, format="PNG", optimize=True)
        return buffer.getvalue()

    def svg(self) -> bytes:
        """The same with text as text, and the crops as they are stored."""
        size = f'width="{self.width}" height="{self.height}"'
        view = f'viewBox="0 0 {self.width} {self.height}"'
        text = f'font-family="sans-serif" font-size="{FONT_SIZE}"'
        parts = [f'<svg xmlns="http://www.w3.org/2000/svg" {size} {view} {text}>']
        parts.append(f'<rect {size} fill="white"/>')
        for tile in self.tiles:
            place = f'x="{tile.left}" y="{tile.top}" width="{self.side}" height="{self.side}"'
            source = f"data:image/webp;base64,{tile.pixels}"
            parts.append(f'<image {place} href="{source}"/>')
            for number, line in enumerate(tile.lines):
                baseline = tile.top + self.side + FONT_SIZE + number * LINE_HEIGHT
                place = f'x="{tile.left}" y="{baseline}" fill="{COLOURS[number]}"'
                parts.append(f"<text {place}>{html.escape(line)}</text>")
        return "\n".join([*parts, "</svg>\n"]).encode()

    def save(self, folder: Path) -> Iterator[Path]:
        """Write contact_NAME.png and contact_NAME.svg."""
        folder.mkdir(parents=True, exist_ok=True)
        for suffix, data in ((".png", self.png()), (".svg", self.svg())):
            path = folder / f"contact_{self.name}{suffix}"
            path.write_bytes(data)
            yield path


def labels(cell: Cell, label: str) -> tuple[str, str]:
    """What stands below a crop: codec and rate, then the qualities of the whole picture."""
    note = " (least)" if cell.bpp > SMALLEST * cell.wanted_bpp else ""
    similarity = "" if cell.ms_ssim is None else f", MS-SSIM {cell.ms_ssim:.3f}"
    label = label.removeprefix("bsqcodec, --")  # or it reaches into the next column
    return f"{label}, {cell.bpp:.3f} bpp{note}", f"{cell.psnr:.2f} dB{similarity}"


def sheets(found: Sequence[Crops]) -> list[Sheet]:
    """One for each picture."""
    return [Sheet.of(crops, picture) for crops in found for picture in crops.pictures]
