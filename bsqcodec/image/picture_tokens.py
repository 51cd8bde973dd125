"""Tokens of pictures for other programs: codes out of a picture or a coded file, and back.

Only families that have one code for each token have them, which `bsq` does.
"""

from __future__ import annotations

from bsqcodec.errors import FormatError, WeightsError
from bsqcodec.format.image_container import Colour, Container, Header
from bsqcodec.format.token_file import Tokens
from bsqcodec.image.decode_picture import check_levels, check_symbols
from bsqcodec.image.samples import to_grey, to_rgb
from bsqcodec.media.image.picture import Picture
from bsqcodec.models.bsq.coding import bits_of_picture
from bsqcodec.models.bsq.picture_model import BsqModel, listed
from bsqcodec.models.picture_model import PictureModel, Symbols


def bsq_model(model: PictureModel) -> BsqModel:
    """Return the model if it is of the family `bsq`. Raises WeightsError for any other."""
    if not isinstance(model, BsqModel):
        raise WeightsError(
            f"the weights {model.id.hex()} have no tokens that stand alone;"
            " those of the family bsq have"
        )
    return model


def header_of(model: BsqModel, width: int, height: int, bits: int, *, gray: bool = False) -> Header:
    """Return the header of a file of codes of so many bits, of a picture of this size in pixels."""
    step = model.step_of(bits)
    return Header(
        model_id=model.id,
        width=width,
        height=height,
        colour=Colour.GRAY if gray else Colour.RGB,
        step=step,
        levels=model.weights.prior.config.sub_codes - step,
    )


def tokens_of_picture(model: BsqModel, picture: Picture, count: int | None = None) -> Tokens:
    """Return the codes of a picture; its alpha channel and metadata are not in them.

    count: of bits of a code, by default as many as encoding spends. Raises ValueError for a number
    that the weights do not have.
    """
    count = model.default_depth if count is None else count
    if count not in model.depths:
        raise ValueError(f"codes of these weights have {listed(model.depths)} bits, not {count}")
    header = header_of(model, picture.width, picture.height, count, gray=picture.is_grey)
    bits = bits_of_picture(model.weights.tokenizer, to_rgb(picture.pixels))[..., :count]
    return _tokens(model, header, model.symbols_of_bits(bits, picture.height, picture.width))


def tokens_of_container(model: BsqModel, container: Container) -> Tokens:
    """Return the codes in a coded file without rendering them.

    Raises FormatError and its children where the file is not whole or not sound.
    """
    header = container.header
    check_levels(model, header)
    symbols = model.read(container.level_payloads(), header)
    check_symbols(model, symbols, container)
    return _tokens(model, header, symbols)


def picture_of_tokens(model: BsqModel, tokens: Tokens) -> Picture:
    """Return the picture that codes stand for.

    Raises FormatError for codes of another number of bits or another patch than the model's.
    """
    if tokens.bits not in model.depths or tokens.patch != model.patch:
        raise FormatError(
            f"the tokens have {tokens.bits} bits for {tokens.patch} x {tokens.patch} pixels, the"
            f" weights {model.id.hex()} have {listed(model.depths)} for"
            f" {model.patch} x {model.patch}"
        )
    header = header_of(model, tokens.width, tokens.height, tokens.bits, gray=tokens.gray)
    symbols = model.symbols_of_codes(tokens.codes, tokens.bits, tokens.height, tokens.width)
    return rendered(model, symbols, header)


def rendered(model: BsqModel, symbols: Symbols, header: Header) -> Picture:
    """Return the picture of symbols, without metadata."""
    pixels = model.render(symbols, header)
    return Picture(to_grey(pixels) if header.colour == Colour.GRAY else pixels)


def _tokens(model: BsqModel, header: Header, symbols: Symbols) -> Tokens:
    return Tokens(
        codes=model.codes(symbols, header),
        bits=model.depth_of(header.step),
        patch=model.patch,
        model=model.id.hex(),
        width=header.width,
        height=header.height,
        gray=header.colour == Colour.GRAY,
    )
