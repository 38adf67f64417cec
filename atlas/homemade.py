"""Networks that no library ships in a small form: recurrent, dense prediction, sound, tables."""

import itertools
from collections.abc import Callable, Mapping
from functools import partial

import torch
from torch import nn

Made = tuple[nn.Module, Mapping[str, torch.Tensor]]


class Recurrent(nn.Module):
    """Tokens, an embedding, recurrent layers and a head for each token (batch first)."""

    def __init__(self, cell: str, width: int, layers: int, *, both: bool = False) -> None:
        super().__init__()
        self.embed = nn.Embedding(2000, width)
        self.cells = getattr(nn, cell)(width, width, layers, batch_first=True, bidirectional=both)
        self.head = nn.Linear(width * (2 if both else 1), 64)

    def forward(self, tokens: torch.Tensor) -> torch.Tensor:
        """Scores of each token."""
        return self.head(self.cells(self.embed(tokens))[0])


class UNet(nn.Module):
    """Ronneberger et al. (2015), with transposed convolutions upwards."""

    def __init__(self, width: int, depth: int) -> None:
        super().__init__()
        sizes = [width << i for i in range(depth)]
        self.down = nn.ModuleList(_double(a, b) for a, b in zip([3, *sizes], sizes, strict=False))
        self.up = nn.ModuleList(nn.ConvTranspose2d(2 * s, s, 2, 2) for s in sizes[-2::-1])
        self.join = nn.ModuleList(_double(2 * s, s) for s in sizes[-2::-1])
        self.pool, self.head = nn.MaxPool2d(2), nn.Conv2d(width, 2, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """A mask of the image's size."""
        kept = []
        for i, block in enumerate(self.down):
            x = block(self.pool(x) if i else x)
            kept.append(x)
        for up, join, skip in zip(self.up, self.join, kept[-2::-1], strict=True):
            x = join(torch.cat([up(x), skip], 1))
        return self.head(x)


class Residual(nn.Module):
    """A body added to its input."""

    def __init__(self, *body: nn.Module) -> None:
        super().__init__()
        self.body = nn.Sequential(*body)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """The sum."""
        return x + self.body(x)


class Yolo(nn.Module):
    """A one-stage detector after YOLO: three scales, top-down paths, raw heads."""

    def __init__(self, width: int) -> None:
        super().__init__()
        a, b, c = 4 * width, 8 * width, 16 * width
        self.stem = nn.Sequential(
            _conv(3, width, 3, 2), _conv(width, 2 * width, 3, 2), _csp(2 * width)
        )
        self.p3 = nn.Sequential(_conv(2 * width, a, 3, 2), _csp(a))
        self.p4 = nn.Sequential(_conv(a, b, 3, 2), _csp(b))
        self.p5 = nn.Sequential(_conv(b, c, 3, 2), _csp(c), nn.MaxPool2d(5, 1, 2))
        self.lower5, self.lower4 = _conv(c, b, 1, 1), _conv(2 * b, a, 1, 1)
        self.up = nn.Upsample(scale_factor=2, mode="nearest")
        self.heads = nn.ModuleList(nn.Conv2d(n, 85, 1) for n in (2 * a, 2 * b, c))

    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, ...]:
        """A raw map for each scale."""
        three = self.p3(self.stem(x))
        four = self.p4(three)
        five = self.p5(four)
        mid = torch.cat([four, self.up(self.lower5(five))], 1)
        fine = torch.cat([three, self.up(self.lower4(mid))], 1)
        return tuple(h(y) for h, y in zip(self.heads, (fine, mid, five), strict=True))


class Atrous(nn.Module):
    """DeepLab's head over a small encoder (Chen et al., 2017)."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.body = nn.Sequential(
            *(_conv(3 if i == 0 else width << (i - 1), width << i, 3, 2) for i in range(4))
        )
        top = width << 3
        self.arms = nn.ModuleList(nn.Conv2d(top, 64, 3, padding=d, dilation=d) for d in (1, 3, 6))
        self.head = nn.Sequential(_conv(192, 64, 1, 1), nn.Conv2d(64, 21, 1))
        self.grow = nn.Upsample(scale_factor=8, mode="bilinear", align_corners=False)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """A mask at half the image's size."""
        y = self.body(x)
        return self.grow(self.head(torch.cat([arm(y) for arm in self.arms], 1)))


class Recommender(nn.Module):
    """DLRM (Naumov et al., 2019): embeddings and features, then dense layers."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.embed = nn.Embedding(20000, 32)
        self.dense = nn.Sequential(
            nn.Linear(16 * 32 + 13, width),
            nn.ReLU(),
            nn.Linear(width, width),
            nn.ReLU(),
            nn.Linear(width, 1),
        )

    def forward(self, ids: torch.Tensor, features: torch.Tensor) -> torch.Tensor:
        """A score for each row."""
        return self.dense(torch.cat([self.embed(ids).flatten(1), features], 1))


class PointNet(nn.Module):
    """Qi et al. (2017) without its alignment networks."""

    def __init__(self, width: int) -> None:
        super().__init__()
        sizes = [3, width, width, 2 * width, 8 * width]
        layers = [
            nn.Sequential(nn.Conv1d(a, b, 1), nn.BatchNorm1d(b), nn.ReLU())
            for a, b in itertools.pairwise(sizes)
        ]
        self.body, self.head = nn.Sequential(*layers), nn.Linear(8 * width, 40)

    def forward(self, points: torch.Tensor) -> torch.Tensor:
        """Class scores."""
        return self.head(self.body(points).amax(2))


def _conv(
    a: int, b: int, kernel: int, stride: int, groups: int = 1, act: type[nn.Module] = nn.SiLU
) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(a, b, kernel, stride, kernel // 2, groups=groups), nn.BatchNorm2d(b), act()
    )


def _double(a: int, b: int) -> nn.Sequential:
    return nn.Sequential(_conv(a, b, 3, 1, act=nn.ReLU), _conv(b, b, 3, 1, act=nn.ReLU))


def _csp(width: int) -> nn.Module:
    return Residual(_conv(width, width // 2, 1, 1), _conv(width // 2, width, 3, 1))


def _image(side: int, channels: int = 3) -> dict[str, torch.Tensor]:
    return {"image": torch.rand(1, channels, side, side)}


def _made(
    network: Callable[[], nn.Module], inputs: Callable[[], Mapping[str, torch.Tensor]]
) -> Callable[[], Made]:
    return lambda: (network().eval(), inputs())


def _tokens(count: int) -> Callable[[], Mapping[str, torch.Tensor]]:
    return lambda: {"tokens": torch.randint(0, 100, (1, count))}


def _plain(widths: tuple[int, ...], kernel: int) -> nn.Sequential:
    """SRCNN and its kin: convolutions of one stride."""
    return nn.Sequential(
        *(_conv(a, b, kernel, 1, act=nn.ReLU) for a, b in itertools.pairwise(widths))
    )


def _espcn(width: int) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(1, width, 5, padding=2),
        nn.Tanh(),
        nn.Conv2d(width, 32, 3, padding=1),
        nn.Tanh(),
        nn.Conv2d(32, 9, 3, padding=1),
        nn.PixelShuffle(3),
    )


def _edsr(width: int, blocks: int) -> nn.Sequential:
    body = [
        Residual(
            nn.Conv2d(width, width, 3, padding=1), nn.ReLU(), nn.Conv2d(width, width, 3, padding=1)
        )
        for _ in range(blocks)
    ]
    return nn.Sequential(
        nn.Conv2d(3, width, 3, padding=1),
        *body,
        nn.Conv2d(width, 12, 3, padding=1),
        nn.PixelShuffle(2),
    )


def _style(width: int) -> nn.Sequential:
    """Johnson et al. (2016): down, residual blocks with instance norm, up again."""
    down = [
        nn.Conv2d(3, width, 9, padding=4),
        nn.InstanceNorm2d(width, affine=True),
        nn.ReLU(),
        nn.Conv2d(width, 2 * width, 3, 2, 1),
        nn.InstanceNorm2d(2 * width, affine=True),
        nn.ReLU(),
    ]
    block = [
        Residual(
            nn.Conv2d(2 * width, 2 * width, 3, padding=1),
            nn.InstanceNorm2d(2 * width, affine=True),
            nn.ReLU(),
        )
        for _ in range(3)
    ]
    return nn.Sequential(
        *down,
        *block,
        nn.ConvTranspose2d(2 * width, width, 2, 2),
        nn.ReLU(),
        nn.Conv2d(width, 3, 9, padding=4),
    )


def _dcgan(width: int) -> nn.Sequential:
    """Radford et al. (2016): the generator."""
    sizes = [8 * width, 4 * width, 2 * width, width]
    layers: list[nn.Module] = [nn.ConvTranspose2d(100, sizes[0], 4), nn.ReLU()]
    for a, b in itertools.pairwise(sizes):
        layers += [nn.ConvTranspose2d(a, b, 4, 2, 1), nn.BatchNorm2d(b), nn.ReLU()]
    return nn.Sequential(*layers, nn.ConvTranspose2d(width, 3, 4, 2, 1), nn.Tanh())


def _tcn(width: int, blocks: int) -> nn.Sequential:
    """Bai et al. (2018): dilated 1-D convolutions."""
    body = [
        Residual(nn.Conv1d(width, width, 3, padding=2**i, dilation=2**i), nn.ReLU())
        for i in range(blocks)
    ]
    return nn.Sequential(nn.Conv1d(40, width, 1), *body, nn.Conv1d(width, 12, 1))


def _keyword(width: int) -> nn.Sequential:
    """DS-CNN (Zhang et al., 2017) for keyword spotting."""
    blocks = [
        m
        for _ in range(4)
        for m in (_conv(width, width, 3, 1, width, nn.ReLU), _conv(width, width, 1, 1, act=nn.ReLU))
    ]
    return nn.Sequential(
        _conv(1, width, 7, 2, act=nn.ReLU),
        *blocks,
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Linear(width, 12),
    )


def _autoencoder(width: int) -> nn.Sequential:
    sizes = [640, width, width, 8, width, width, 640]
    return nn.Sequential(
        *(m for a, b in itertools.pairwise(sizes) for m in (nn.Linear(a, b), nn.ReLU()))
    )


def _lenet(width: int) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(1, width, 5, padding=2),
        nn.ReLU(),
        nn.AvgPool2d(2),
        nn.Conv2d(width, 2 * width, 5),
        nn.ReLU(),
        nn.AvgPool2d(2),
        nn.Flatten(),
        nn.Linear(50 * width, 120),
        nn.ReLU(),
        nn.Linear(120, 10),
    )


def _sound(width: int) -> nn.Sequential:
    """Conv-TasNet's separator (Luo and Mesgarani, 2019): depthwise 1-D blocks over a raw wave."""

    def block(i: int) -> nn.Module:
        return Residual(
            nn.Conv1d(width, 2 * width, 1),
            nn.PReLU(),
            nn.Conv1d(2 * width, 2 * width, 3, padding=2**i, dilation=2**i, groups=2 * width),
            nn.PReLU(),
            nn.Conv1d(2 * width, width, 1),
        )

    return nn.Sequential(
        nn.Conv1d(1, width, 16, 8),
        nn.ReLU(),
        *(block(i) for i in range(6)),
        nn.ConvTranspose1d(width, 1, 16, 8),
    )


def _pose(width: int) -> nn.Sequential:
    """Xiao et al. (2018): a small encoder and three transposed convolutions."""
    down = [
        _conv(3 if i == 0 else width << (i - 1), width << i, 3, 2, act=nn.ReLU) for i in range(4)
    ]
    up = [
        m
        for i in range(3)
        for m in (nn.ConvTranspose2d(width << 3 if i == 0 else 64, 64, 4, 2, 1), nn.ReLU())
    ]
    return nn.Sequential(*down, *up, nn.Conv2d(64, 17, 1))


NETWORKS: Mapping[str, Mapping[str, Callable[[], Made]]] = {
    "lstm": {
        "lstm_tagger": _made(partial(Recurrent, "LSTM", 256, 1), _tokens(64)),
        "lstm_stack": _made(partial(Recurrent, "LSTM", 128, 2), _tokens(100)),
        "bilstm_tagger": _made(partial(Recurrent, "LSTM", 192, 1, both=True), _tokens(48)),
    },
    "gru": {
        "gru_tagger": _made(partial(Recurrent, "GRU", 256, 1), _tokens(64)),
        "gru_stack": _made(partial(Recurrent, "GRU", 128, 2), _tokens(80)),
    },
    "unet": {
        "unet_16": _made(partial(UNet, 16, 4), lambda: _image(128)),
        "unet_24": _made(partial(UNet, 24, 4), lambda: _image(96)),
        "unet_32": _made(partial(UNet, 32, 3), lambda: _image(64)),
    },
    "yolo": {
        "yolo_16": _made(partial(Yolo, 16), lambda: _image(256)),
        "yolo_24": _made(partial(Yolo, 24), lambda: _image(192)),
    },
    "deeplab": {
        "deeplab_24": _made(partial(Atrous, 24), lambda: _image(192)),
        "deeplab_32": _made(partial(Atrous, 32), lambda: _image(128)),
    },
    "srcnn": {
        "srcnn": _made(partial(_plain, (1, 64, 32, 1), 5), lambda: _image(96, 1)),
        "fsrcnn_like": _made(
            partial(_plain, (1, 32, 12, 12, 12, 32, 1), 3), lambda: _image(128, 1)
        ),
    },
    "espcn": {"espcn": _made(partial(_espcn, 64), lambda: _image(96, 1))},
    "edsr": {
        "edsr_16": _made(partial(_edsr, 16, 8), lambda: _image(96)),
        "edsr_32": _made(partial(_edsr, 32, 4), lambda: _image(64)),
    },
    "style": {
        "style_16": _made(partial(_style, 16), lambda: _image(128)),
        "style_24": _made(partial(_style, 24), lambda: _image(96)),
    },
    "dcgan": {
        "dcgan_32": _made(partial(_dcgan, 32), lambda: {"noise": torch.rand(1, 100, 1, 1)}),
        "dcgan_64": _made(partial(_dcgan, 64), lambda: {"noise": torch.rand(1, 100, 1, 1)}),
    },
    "tcn": {
        "tcn_64": _made(partial(_tcn, 64, 6), lambda: {"signal": torch.rand(1, 40, 400)}),
        "tcn_128": _made(partial(_tcn, 128, 5), lambda: {"signal": torch.rand(1, 40, 300)}),
    },
    "dscnn": {
        "dscnn_64": _made(partial(_keyword, 64), lambda: _image(64, 1)),
        "dscnn_172": _made(partial(_keyword, 172), lambda: {"mel": torch.rand(1, 1, 49, 40)}),
    },
    "autoencoder": {
        "autoencoder_128": _made(
            partial(_autoencoder, 128), lambda: {"frames": torch.rand(16, 640)}
        ),
        "autoencoder_512": _made(
            partial(_autoencoder, 512), lambda: {"frames": torch.rand(64, 640)}
        ),
    },
    "lenet": {
        "lenet_6": _made(partial(_lenet, 6), lambda: _image(28, 1)),
        "lenet_20": _made(partial(_lenet, 20), lambda: _image(28, 1)),
    },
    "tasnet": {
        "tasnet_64": _made(partial(_sound, 64), lambda: {"sound": torch.rand(1, 1, 4000)}),
        "tasnet_128": _made(partial(_sound, 128), lambda: {"sound": torch.rand(1, 1, 3000)}),
    },
    "pose": {
        "pose_24": _made(partial(_pose, 24), lambda: _image(128)),
        "pose_32": _made(partial(_pose, 32), lambda: _image(96)),
    },
    "dlrm": {
        "dlrm_256": _made(
            partial(Recommender, 256),
            lambda: {"ids": torch.randint(0, 100, (32, 16)), "features": torch.rand(32, 13)},
        ),
        "dlrm_1024": _made(
            partial(Recommender, 1024),
            lambda: {"ids": torch.randint(0, 100, (64, 16)), "features": torch.rand(64, 13)},
        ),
    },
    "pointnet": {
        "pointnet_64": _made(partial(PointNet, 64), lambda: {"points": torch.rand(1, 3, 512)}),
        "pointnet_128": _made(partial(PointNet, 128), lambda: {"points": torch.rand(1, 3, 256)}),
    },
}
