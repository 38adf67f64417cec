"""The networks of the atlas: which ones, of which family, and at which input size.

Names are those of timm, torchvision and transformers, so that they can be rebuilt; weights
are random. Sizes are small where a network is large: the atlas is measured on slow platforms too.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial

import homemade
import language
import torch


@dataclass(frozen=True, slots=True)
class Network:
    """A network to export: `make` gives the module and its example inputs by name."""

    name: str
    family: str
    make: Callable[[], tuple[torch.nn.Module, Mapping[str, torch.Tensor]]]


TIMM = {
    "resnet": "resnet10t@176 resnet18@224 resnet34@160 resnet50@224 resnet101@128",
    "resnext": "resnext26ts@176 seresnext26d_32x4d@160",
    "seresnet": "seresnet50@128 legacy_seresnet18@176",
    "res2net": "res2next50@128 res2net50_14w_8s@128",
    "resnest": "resnest14d@160 resnest26d@128",
    "skresnet": "skresnet18@176 skresnet34@128",
    "ecaresnet": "ecaresnet26t@160 ecaresnet50d_pruned@128",
    "vgg": "vgg11@224",
    "densenet": "densenet121@160 densenet201@112",
    "inception": "inception_v3@160 inception_v4@128",
    "xception": "xception41@128 legacy_xception@128",
    "dpn": "dpn48b@128 dpn68@128",
    "dla": "dla60x_c@224 dla46x_c@224",
    "hrnet": "hrnet_w18_small@128 hrnet_w18_small_v2@128",
    "vovnet": "ese_vovnet19b_dw@224 ese_vovnet19b_slim@160",
    "selecsls": "selecsls42@160 selecsls60b@128",
    "gernet": "gernet_s@224 gernet_m@128",
    "repvgg": "repvgg_a1@160 repvgg_b0@128",
    "mobileone": "mobileone_s0@224 mobileone_s2@160",
    "cspnet": "cspresnet50@128 cs3darknet_s@160",
    "mobilenetv1": "mobilenetv1_125@160 mobilenetv1_100h@192",
    "mobilenetv2": "mobilenetv2_050@224 mobilenetv2_100@224 "
    "mobilenetv2_110d@192 mobilenetv2_140@160",
    "mobilenetv3": "mobilenetv3_small_050@224 mobilenetv3_small_100@224 "
    "mobilenetv3_large_075@224 mobilenetv3_large_100@224",
    "mobilenetv4": "mobilenetv4_conv_small_050@224 mobilenetv4_hybrid_medium@160",
    "mnasnet": "mnasnet_small@224 mnasnet_100@224 semnasnet_100@192",
    "fbnet": "fbnetv3_b@160 fbnetv3_d@128",
    "hardcorenas": "hardcorenas_c@192 hardcorenas_f@160",
    "efficientnet": "efficientnet_b0@224 efficientnet_b1@192 "
    "efficientnet_b3@128 tf_efficientnet_b0@160",
    "efficientnet_lite": "efficientnet_lite1@192 efficientnet_lite2@160",
    "efficientnetv2": "tf_efficientnetv2_b0@192",
    "mixnet": "mixnet_s@224 mixnet_m@192",
    "tinynet": "tinynet_c@184 tinynet_e@106",
    "lcnet": "lcnet_050@224 lcnet_100@224",
    "spnasnet": "spnasnet_100@224",
    "rexnet": "rexnet_100@224 rexnetr_100@160",
    "ghostnet": "ghostnet_050@224 ghostnet_100@224 ghostnetv2_100@224",
    "repghost": "repghostnet_050@224 repghostnet_100@224",
    "regnetx": "regnetx_002@224 regnetx_008@224 regnetx_016@160",
    "regnety": "regnety_002@224 regnety_008@192 regnety_016@160",
    "regnetz": "regnetz_005@160 regnetz_b16@128",
    "nfnet": "nfnet_l0@128 nf_regnet_b0@160",
    "convnext": "convnext_atto@224 convnext_pico@192 convnext_tiny@128",
    "convnextv2": "convnextv2_atto@192 convnextv2_femto@160",
    "inception_next": "inception_next_atto@192 inception_next_tiny@128",
    "convmixer": "convmixer_768_32@96 convmixer_1024_20_ks9_p14@128",
    "edgenext": "edgenext_xx_small@224 edgenext_x_small@192",
    "mobilevit": "mobilevit_xxs@192 mobilevit_xs@160",
    "mobilevitv2": "mobilevitv2_050@192 mobilevitv2_075@160",
    "efficientvit": "efficientvit_m0@224 efficientvit_m2@224",
    "efficientformer": "efficientformer_l1@224 efficientformerv2_s0@224",
    "fastvit": "fastvit_t8@192 fastvit_sa12@128",
    "repvit": "repvit_m0_9@192 repvit_m1@224",
    "starnet": "starnet_s050@224 starnet_s2@192",
    "hgnet": "hgnetv2_b0@224 hgnetv2_b1@224",
    "poolformer": "poolformer_s12@128 poolformerv2_s12@128",
    "caformer": "convformer_s18@96 caformer_s18@96",
    "vit": "vit_tiny_patch16_224@224 vit_small_patch32_224@224 "
    "vit_small_patch16_224@128 vit_base_patch32_224@224",
    "deit": "deit_tiny_distilled_patch16_224@224 deit3_small_patch16_224@128",
    "swin": "swin_tiny_patch4_window7_224@224",
    "tiny_vit": "tiny_vit_5m_224@224",
    "levit": "levit_128s@224 levit_conv_128@224",
    "xcit": "xcit_nano_12_p16_224@224 xcit_tiny_12_p16_224@224",
    "coat": "coat_lite_tiny@224 coat_lite_mini@224",
    "crossvit": "crossvit_9_240@240 crossvit_tiny_240@240",
    "convit": "convit_tiny@224",
    "twins": "twins_pcpvt_small@224 twins_svt_small@224",
    "pvt": "pvt_v2_b0@224 pvt_v2_b1@160",
    "mixer": "mixer_s32_224@224 mixer_s16_224@224",
    "resmlp": "resmlp_12_224@224",
    "gmlp": "gmlp_ti16_224@224 gmlp_s16_224@224",
    "visformer": "visformer_tiny@224",
    "bottleneck": "botnet26t_256@128",
    "ghostnetv3": "ghostnetv3_100@224",
    "mambaout": "mambaout_femto@160 mambaout_kobe@128",
    "rdnet": "rdnet_tiny@96",
    "shvit": "shvit_s1@224 shvit_s2@224",
    "fasternet": "fasternet_t0@224 fasternet_t1@192",
}

TORCHVISION = {
    "alexnet": "alexnet@224",
    "squeezenet": "squeezenet1_0@160 squeezenet1_1@224",
    "googlenet": "googlenet@224",
    "shufflenet": "shufflenet_v2_x0_5@224 shufflenet_v2_x1_0@224 shufflenet_v2_x2_0@160",
}


def networks() -> list[Network]:
    """Return every network of the atlas, by family."""
    exported = []
    for listed, make in ((TIMM, _timm), (TORCHVISION, _torchvision)):
        for family, names in listed.items():
            for name, _, side in (entry.partition("@") for entry in names.split()):
                exported.append(Network(name, family, partial(make, name, int(side))))
    for family, members in {**homemade.NETWORKS, **language.NETWORKS}.items():
        exported += [Network(name, family, make) for name, make in members.items()]
    return exported


def _image(side: int) -> dict[str, torch.Tensor]:
    return {"image": torch.rand(1, 3, side, side)}


def _timm(name: str, side: int) -> tuple[torch.nn.Module, Mapping[str, torch.Tensor]]:
    import timm
    from timm.utils.model import reparameterize_model

    try:
        model = timm.create_model(name, pretrained=False, exportable=True, img_size=side)
    except TypeError:  # a network that takes any size
        model = timm.create_model(name, pretrained=False, exportable=True)
    return reparameterize_model(model.eval()), _image(side)


def _torchvision(name: str, side: int) -> tuple[torch.nn.Module, Mapping[str, torch.Tensor]]:
    import torchvision

    more = {"aux_logits": False, "init_weights": False} if name == "googlenet" else {}
    return torchvision.models.get_model(name, weights=None, **more), _image(side)
