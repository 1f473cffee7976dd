"""Networks of the kinds that people have, small and with random weights, for ``graphs``.

Each is made to act as a mild denoiser: 0.6 x + 0.4 blur(x), and what the network returns, scaled to
about 0.01. Those of DeepInverse are its own; the others are written after the published code.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

try:
    import torchvision  # noqa: F401
except (ImportError, RuntimeError):  # of a CUDA build beside a torch for CPUs
    OPERATORS = torch.library.Library("torchvision", "DEF")
    OPERATORS.define("nms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
    OPERATORS.define("qnms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")

import deepinv

SIDE = 64
"""Of the images for which networks are exported."""


@dataclass
class Case:
    """A network, what it is given, and how it is exported."""

    network: Callable[[], nn.Module]
    channels: int = 1
    """Of the image."""
    level: str = ""
    """How the noise level is told: ``scalar``, ``map``, ``channel`` or not."""
    static: bool = False
    """Whether for one size of image, as exporters do by default."""
    dtype: torch.dtype = torch.float32
    flags: tuple[str, ...] = ()
    """What asyncred has to be told."""
    wrapped: bool = True
    """Whether made a mild denoiser here; else it is one."""


class Mild(nn.Module):
    """0.6 x + 0.4 blur(x) + c N(x)."""

    def __init__(self, network: nn.Module, case: Case) -> None:
        super().__init__()
        self.network, self.case = network, case
        blur = torch.tensor([[1.0, 2, 1], [2, 4, 2], [1, 2, 1]]) / 16
        self.register_buffer("blur", blur.repeat(case.channels, 1, 1, 1))
        self.c = 1.0
        inputs = example(case)
        with torch.no_grad():
            y = self.network(*inputs)
        self.c = 0.01 / max(float(y.abs().max()), 1e-6)

    def forward(self, x: Tensor, *sigma: Tensor) -> Tensor:
        image = x[:, : self.case.channels]
        smooth = F.conv2d(image, self.blur, padding=1, groups=self.case.channels)
        return 0.6 * image + 0.4 * smooth + self.c * self.network(x, *sigma)


def example(case: Case, side: int = SIDE) -> tuple[Tensor, ...]:
    """Inputs of the network."""
    torch.manual_seed(0)
    more = case.level == "channel"
    x = torch.rand(1, case.channels + more, side, side)
    if case.level == "scalar":
        return x, torch.tensor([0.05])
    if case.level == "map":
        return x, torch.full((1, 1, side, side), 0.05)
    return (x,)


def built(case: Case) -> nn.Module:
    """The network with weights from a seed."""
    torch.manual_seed(1)
    network = case.network().eval()
    torch.manual_seed(2)
    for p in network.parameters():  # what is initialised to 0 would hide what it looks at
        if p.dim() < 2 or not p.abs().sum():
            p.data += 0.05 * torch.randn_like(p)
    return (Mild(network, case) if case.wrapped else network).eval().to(case.dtype)


class Told(nn.Module):
    """A network of DeepInverse, whose second argument is sigma."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, x: Tensor, sigma: Tensor) -> Tensor:
        return self.network(x, sigma)


class Untold(nn.Module):
    """One that ignores it."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, x: Tensor) -> Tensor:
        return self.network(x, None)


def conv(a: int, b: int, k: int = 3, stride: int = 1, mode: str = "zeros") -> nn.Conv2d:
    return nn.Conv2d(a, b, k, stride, k // 2, padding_mode=mode)


class Block(nn.Module):
    def __init__(self, n: int, mode: str = "zeros") -> None:
        super().__init__()
        self.a, self.b = conv(n, n, mode=mode), conv(n, n, mode=mode)

    def forward(self, x: Tensor) -> Tensor:
        return x + self.b(F.relu(self.a(x)))


class UNetRes(nn.Module):
    """The network of DRUNet (KAIR): two to four strides, no biases, the level as a channel."""

    def __init__(self, channels: int, out: int, widths: tuple[int, ...] = (8, 16, 24)) -> None:
        super().__init__()
        self.head = nn.Conv2d(channels, widths[0], 3, 1, 1, bias=False)
        pairs = [*itertools.pairwise(widths)]
        self.down = nn.ModuleList(nn.Conv2d(a, b, 2, 2, bias=False) for a, b in pairs)
        self.body = nn.ModuleList(Block(w) for w in widths)
        self.up = nn.ModuleList(nn.ConvTranspose2d(b, a, 2, 2, bias=False) for a, b in pairs)
        self.tail = nn.Conv2d(widths[0], out, 3, 1, 1, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        kept = [self.head(x)]
        for down, body in zip(self.down, self.body, strict=False):
            kept.append(down(body(kept[-1])))
        y = self.body[-1](kept[-1])
        for up, skip in zip(reversed(self.up), reversed(kept[:-1]), strict=True):
            y = up(y) + skip
        return self.tail(y)


class MapDRUNet(UNetRes):
    """The same with the map as an input of its own."""

    def __init__(self) -> None:
        super().__init__(2, 1)

    def forward(self, x: Tensor, sigma: Tensor) -> Tensor:
        return super().forward(torch.cat([x, sigma], 1))


class FFDNet(nn.Module):
    """Pixel unshuffle, padding to an even size, the level as a map; cropped (KAIR)."""

    def __init__(self) -> None:
        super().__init__()
        self.a, self.b, self.c = conv(5, 16), conv(16, 16), conv(16, 4)

    def forward(self, x: Tensor, sigma: Tensor) -> Tensor:
        h, w = x.shape[-2:]
        x = F.pad(x, (0, w % 2, 0, h % 2), mode="replicate")
        x = F.pixel_unshuffle(x, 2)
        m = sigma.view(-1, 1, 1, 1).expand(x.shape[0], 1, x.shape[2], x.shape[3])
        y = self.c(F.relu(self.b(F.relu(self.a(torch.cat([x, m], 1))))))
        return F.pixel_shuffle(y, 2)[..., :h, :w]


class UNet(nn.Module):
    """Two strides, any padding, any way up, any norm."""

    def __init__(self, up: str, mode: str = "zeros", norm: str = "", down: str = "conv") -> None:
        super().__init__()
        n = 8
        self.how, self.norm = up, norm
        self.head, self.tail = conv(1, n, mode=mode), conv(n, 1, mode=mode)
        pools = {"conv": lambda: conv(n, n, 3, 2, mode), "max": lambda: nn.MaxPool2d(2)}
        pools["mean"] = lambda: nn.AvgPool2d(2)
        self.down = nn.ModuleList(pools[down]() for _ in range(2))
        self.body = nn.ModuleList(Block(n, mode) for _ in range(3))
        norms = {
            "batch": lambda: nn.BatchNorm2d(n),
            "instance": lambda: nn.InstanceNorm2d(n, affine=True),
            "group": lambda: nn.GroupNorm(2, n),
            "": nn.Identity,
        }
        self.norms = nn.ModuleList(norms[norm]() for _ in range(3))
        wide = 4 * n if up == "shuffle" else n
        self.ups = nn.ModuleList(
            nn.ConvTranspose2d(n, n, 2, 2) if up == "transposed" else conv(n, wide, mode=mode)
            for _ in range(2)
        )

    def grow(self, layer: nn.Module, y: Tensor, skip: Tensor) -> Tensor:
        if self.how == "transposed":
            return layer(y)
        if self.how == "shuffle":
            return F.pixel_shuffle(layer(y), 2)
        size = {"size": skip.shape[-2:]} if self.how == "skip" else {"scale_factor": 2}
        kind = "nearest" if self.how == "nearest" else "bilinear"
        corners = None if kind == "nearest" else self.how == "corners"
        return layer(F.interpolate(y, mode=kind, align_corners=corners, **size))

    def forward(self, x: Tensor) -> Tensor:
        kept = [self.head(x)]
        for down, body, norm in zip(self.down, self.body, self.norms, strict=False):
            kept.append(down(norm(body(kept[-1]))))
        y = self.norms[-1](self.body[-1](kept[-1]))
        for layer, skip in zip(self.ups, reversed(kept[:-1]), strict=True):
            y = self.grow(layer, y, skip) + skip
        return self.tail(y)


class LayerNorm2d(nn.Module):
    """Over channels, as in NAFNet (``last`` False) or ConvNeXt (True)."""

    def __init__(self, n: int, last: bool = False) -> None:
        super().__init__()
        self.last, self.norm = last, nn.LayerNorm(n)

    def forward(self, x: Tensor) -> Tensor:
        if self.last:
            return self.norm(x.permute(0, 2, 3, 1)).permute(0, 3, 1, 2)
        m = x.mean(1, keepdim=True)
        y = (x - m) / ((x - m).pow(2).mean(1, keepdim=True) + 1e-6).sqrt()
        return self.norm.weight.view(1, -1, 1, 1) * y + self.norm.bias.view(1, -1, 1, 1)


class NAFBlock(nn.Module):
    def __init__(self, n: int, attention: bool) -> None:
        super().__init__()
        self.norm1, self.norm2 = LayerNorm2d(n), LayerNorm2d(n)
        self.a, self.b = nn.Conv2d(n, 2 * n, 1), nn.Conv2d(2 * n, 2 * n, 3, 1, 1, groups=2 * n)
        self.c, self.d, self.e = nn.Conv2d(n, n, 1), nn.Conv2d(n, 2 * n, 1), nn.Conv2d(n, n, 1)
        self.gate = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Conv2d(n, n, 1))
        self.attention = attention

    def forward(self, x: Tensor) -> Tensor:
        a, b = self.b(self.a(self.norm1(x))).chunk(2, 1)
        y = a * b
        y = y * self.gate(y) if self.attention else y
        x = x + self.c(y)
        a, b = self.d(self.norm2(x)).chunk(2, 1)
        return x + self.e(a * b)


class NAFNet(nn.Module):
    """Simple gates, LayerNorm over channels, channel attention, padding to a multiple (BasicSR)."""

    def __init__(self, attention: bool = True) -> None:
        super().__init__()
        n = 8
        self.head, self.tail = conv(1, n), conv(n, 1)
        self.one, self.two, self.three = (
            NAFBlock(n, attention),
            NAFBlock(2 * n, attention),
            NAFBlock(n, attention),
        )
        self.down = nn.Conv2d(n, 2 * n, 2, 2)
        self.up = nn.Sequential(nn.Conv2d(2 * n, 4 * n, 1, bias=False), nn.PixelShuffle(2))

    def forward(self, x: Tensor) -> Tensor:
        h, w = x.shape[-2:]
        x = F.pad(x, (0, (4 - w % 4) % 4, 0, (4 - h % 4) % 4))
        y = self.one(self.head(x))
        y = self.three(self.up(self.two(self.down(y))) + y)
        return self.tail(y)[..., :h, :w]


class ConvNeXt(nn.Module):
    """Depthwise 7x7, LayerNorm over channels laid last, linear layers."""

    def __init__(self) -> None:
        super().__init__()
        n = 12
        self.head, self.tail = conv(1, n), conv(n, 1)
        self.wide = nn.Conv2d(n, n, 7, 1, 3, groups=n)
        self.norm, self.a, self.b = nn.LayerNorm(n), nn.Linear(n, 4 * n), nn.Linear(4 * n, n)

    def forward(self, x: Tensor) -> Tensor:
        x = self.head(x)
        y = self.norm(self.wide(x).permute(0, 2, 3, 1))
        return self.tail(x + self.b(F.gelu(self.a(y))).permute(0, 3, 1, 2))


class SqueezeExcite(nn.Module):
    """A global mean weights the channels."""

    def __init__(self) -> None:
        super().__init__()
        n = 8
        self.a, self.b, self.c = conv(1, n), conv(n, n), conv(n, 1)
        self.gate = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Conv2d(n, n, 1), nn.Sigmoid())

    def forward(self, x: Tensor) -> Tensor:
        y = self.b(F.relu(self.a(x)))
        return self.c(y * self.gate(y))


class Plain(nn.Module):
    """Convolutions and an activation."""

    def __init__(self, activation: nn.Module, mode: str = "zeros", channels: int = 1) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            conv(channels, 8, mode=mode),
            activation,
            conv(8, 8, mode=mode),
            activation,
            conv(8, channels, 5, mode=mode),
        )

    def forward(self, x: Tensor) -> Tensor:
        return self.layers(x)


class ChannelsLast(nn.Module):
    """A mild denoiser of images [n, h, w, 1]."""

    def __init__(self) -> None:
        super().__init__()
        self.inner = Mild(Plain(nn.ReLU()), Case(lambda: nn.Identity()))

    def forward(self, x: Tensor) -> Tensor:
        return self.inner(x.permute(0, 3, 1, 2)).permute(0, 2, 3, 1)


def _drunet(channels: int) -> nn.Module:
    sizes = {"nc": (8, 16, 24, 32), "nb": 1, "pretrained": None}
    return Told(deepinv.models.DRUNet(channels, channels, **sizes))


def _dncnn(channels: int, depth: int = 7) -> nn.Module:
    sizes = {"depth": depth, "nf": 16, "pretrained": None}
    return Untold(deepinv.models.DnCNN(channels, channels, **sizes))


def _unet(**options: object) -> nn.Module:
    return Untold(deepinv.models.UNet(1, 1, channels_per_scale=(8, 16, 24), **options))


def _swin() -> nn.Module:
    sizes = {
        "img_size": 48,
        "embed_dim": 24,
        "depths": (2, 2),
        "num_heads": (2, 2),
        "window_size": 8,
    }
    return Untold(
        deepinv.models.SwinIR(in_chans=1, pretrained=None, window_size=8, mlp_ratio=2, **sizes)
    )


def _restormer() -> nn.Module:
    sizes = {
        "dim": 12,
        "num_blocks": (1, 1, 1, 1),
        "num_refinement_blocks": 1,
        "heads": (1, 2, 2, 4),
    }
    return Untold(deepinv.models.Restormer(1, 1, pretrained=None, heads=(1, 2, 2, 4), **sizes))


def _scunet() -> nn.Module:
    sizes = {"config": (1, 1, 1, 1, 1, 1, 1), "dim": 64, "drop_path_rate": 0.0}
    return Untold(deepinv.models.SCUNet(in_nc=1, pretrained=None, **sizes))


def _gs_inner() -> nn.Module:
    model = deepinv.models.GSDRUNet(
        alpha=1.0,
        in_channels=1,
        out_channels=1,
        nb=1,
        nc=(8, 16, 24, 32),
        act_mode="E",
        pretrained=None,
    )
    return Told(model.student_grad.model)


GLOBAL = ("--halo", "24", "--denoiser-range", "0:1")

CASES: Mapping[str, Case] = {
    "DnCNN (deepinv)": Case(lambda: _dncnn(1)),
    "DnCNN 20 layers": Case(lambda: _dncnn(1, 20)),
    "DnCNN colour": Case(lambda: _dncnn(3), channels=3),
    "DnCNN fixed size": Case(lambda: _dncnn(1), static=True),
    "DRUNet scalar (deepinv)": Case(lambda: _drunet(1), level="scalar"),
    "DRUNet colour (deepinv)": Case(lambda: _drunet(3), channels=3, level="scalar"),
    "DRUNet 1+1 (KAIR)": Case(lambda: UNetRes(2, 1), level="channel"),
    "DRUNet 3+1 (KAIR)": Case(lambda: UNetRes(4, 3), channels=3, level="channel"),
    "DRUNet 2+1, complex": Case(lambda: UNetRes(3, 2), channels=2, level="channel"),
    "DRUNet 2, complex": Case(lambda: UNetRes(2, 2), channels=2),
    "DRUNet with a map": Case(MapDRUNet, level="map"),
    "DRUNet fixed size": Case(lambda: UNetRes(2, 1), level="channel", static=True),
    "GS-DRUNet, its N": Case(_gs_inner, level="scalar"),
    "FFDNet (KAIR)": Case(FFDNet, level="scalar"),
    "FFDNet fixed size": Case(FFDNet, level="scalar", static=True),
    "FFDNet (deepinv)": Case(
        lambda: Told(deepinv.models.FFDNet(5, 16, pretrained=None)), level="scalar"
    ),
    "UNet (deepinv)": Case(lambda: _unet()),
    "UNet transposed": Case(lambda: UNet("transposed")),
    "UNet nearest": Case(lambda: UNet("nearest")),
    "UNet bilinear": Case(lambda: UNet("bilinear")),
    "UNet bilinear, corners": Case(lambda: UNet("corners"), flags=GLOBAL),
    "UNet size of the skip": Case(lambda: UNet("skip")),
    "UNet pixel shuffle": Case(lambda: UNet("shuffle")),
    "UNet reflect": Case(lambda: UNet("bilinear", "reflect")),
    "UNet replicate": Case(lambda: UNet("nearest", "replicate")),
    "UNet circular": Case(lambda: UNet("transposed", "circular"), flags=GLOBAL),
    "UNet max pooling": Case(lambda: UNet("bilinear", down="max")),
    "UNet mean pooling": Case(lambda: UNet("transposed", down="mean")),
    "UNet batch norm": Case(lambda: UNet("nearest", norm="batch")),
    "UNet instance norm": Case(lambda: UNet("nearest", norm="instance"), flags=GLOBAL),
    "UNet group norm": Case(lambda: UNet("transposed", norm="group"), flags=GLOBAL),
    "UNet fixed size": Case(lambda: UNet("bilinear"), static=True),
    "UNet fixed, skip": Case(lambda: UNet("skip"), static=True),
    "NAFNet": Case(NAFNet, flags=GLOBAL),
    "NAFNet, no attention": Case(lambda: NAFNet(False)),
    "ConvNeXt": Case(ConvNeXt),
    "squeeze-excite": Case(SqueezeExcite, flags=GLOBAL),
    "SwinIR": Case(_swin, flags=GLOBAL),
    "Restormer": Case(_restormer, flags=GLOBAL),
    "SCUNet": Case(_scunet, flags=GLOBAL),
    "reflect padding": Case(lambda: Plain(nn.PReLU(), "reflect")),
    "GELU": Case(lambda: Plain(nn.GELU())),
    "SiLU": Case(lambda: Plain(nn.SiLU())),
    "float16": Case(lambda: Plain(nn.ReLU()), dtype=torch.float16),
    "float64": Case(lambda: Plain(nn.Tanh()), dtype=torch.float64),
    "bfloat16": Case(lambda: Plain(nn.ReLU()), dtype=torch.bfloat16),
    "channels last": Case(ChannelsLast, wrapped=False),
    "two channels": Case(lambda: Plain(nn.ELU(), channels=2), channels=2),
}
