"""Small forms of well-known networks for language and speech, from transformers' own classes."""

from collections.abc import Callable, Mapping

import torch

Made = tuple[torch.nn.Module, Mapping[str, torch.Tensor]]

ENCODER: Mapping[str, int] = {
    "hidden_size": 256,
    "num_hidden_layers": 4,
    "num_attention_heads": 4,
    "intermediate_size": 1024,
}


class Plain(torch.nn.Module):
    """A network of transformers that gives its last hidden state alone."""

    def __init__(self, network: torch.nn.Module, **fixed: object) -> None:
        super().__init__()
        self.network = network
        self.fixed = fixed

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """The first output."""
        return self.network(x, return_dict=False, **self.fixed)[0]


def _of(
    model: str, config: str, tokens: int, *, cached: bool | None = None, **settings: object
) -> Callable[[], Made]:
    def make() -> Made:
        import transformers

        made = getattr(transformers, config)(**settings)
        made._attn_implementation = "eager"
        network = getattr(transformers, model)(made).eval()
        fixed = {} if cached is None else {"use_cache": cached}
        return Plain(network, **fixed), {"tokens": torch.randint(0, 100, (1, tokens))}

    return make


def _encoder(kind: str, tokens: int, **settings: object) -> Callable[[], Made]:
    given: dict[str, object] = {**ENCODER, **settings}
    return _of(f"{kind}Model", f"{kind}Config", tokens, cached=None, **given)


def _decoder(kind: str, tokens: int, **settings: object) -> Callable[[], Made]:
    return _of(f"{kind}Model", f"{kind}Config", tokens, cached=False, **settings)


def _speech(kind: str, model: str, samples: int, **settings: object) -> Callable[[], Made]:
    def make() -> Made:
        import transformers

        config = getattr(transformers, f"{kind}Config")(**settings)
        config._attn_implementation = "eager"
        network = getattr(transformers, model)(config).eval()
        return Plain(network), {"sound": torch.rand(1, samples)}

    return make


def _whisper(width: int, layers: int) -> Callable[[], Made]:
    def make() -> Made:
        from transformers import WhisperConfig
        from transformers.models.whisper.modeling_whisper import WhisperEncoder

        config = WhisperConfig(
            d_model=width,
            encoder_layers=layers,
            encoder_attention_heads=4,
            encoder_ffn_dim=4 * width,
            max_source_positions=200,
        )
        config._attn_implementation = "eager"
        return Plain(WhisperEncoder(config).eval()), {"mel": torch.rand(1, 80, 400)}

    return make


NETWORKS: Mapping[str, Mapping[str, Callable[[], Made]]] = {
    "bert": {
        "bert_tiny": _encoder(
            "Bert",
            128,
            hidden_size=128,
            num_hidden_layers=2,
            num_attention_heads=2,
            intermediate_size=512,
        ),
        "bert_mini": _encoder("Bert", 128),
        "bert_medium": _encoder(
            "Bert",
            64,
            hidden_size=512,
            num_hidden_layers=8,
            num_attention_heads=8,
            intermediate_size=2048,
        ),
        "minilm_l6": _encoder(
            "Bert",
            64,
            hidden_size=384,
            num_hidden_layers=6,
            num_attention_heads=12,
            intermediate_size=1536,
        ),
        "roberta_mini": _encoder("Roberta", 96),
    },
    "distilbert": {
        "distilbert_small": _of(
            "DistilBertModel",
            "DistilBertConfig",
            64,
            dim=384,
            n_layers=6,
            n_heads=6,
            hidden_dim=1536,
        )
    },
    "albert": {
        "albert_small": _encoder(
            "Albert",
            64,
            embedding_size=128,
            hidden_size=512,
            num_attention_heads=8,
            intermediate_size=2048,
        )
    },
    "electra": {"electra_small": _encoder("Electra", 128, num_hidden_layers=6)},
    "mpnet": {"mpnet_mini": _encoder("MPNet", 64)},
    "squeezebert": {
        "squeezebert_mini": _encoder(
            "SqueezeBert",
            64,
            embedding_size=256,
            q_groups=4,
            k_groups=4,
            v_groups=4,
            intermediate_groups=4,
            output_groups=4,
        )
    },
    "mobilebert": {
        "mobilebert_small": _of("MobileBertModel", "MobileBertConfig", 64, num_hidden_layers=8)
    },
    "gpt2": {
        "gpt2_mini": _decoder("GPT2", 64, n_embd=256, n_layer=4, n_head=4),
        "gpt2_small_6": _decoder("GPT2", 32, n_embd=512, n_layer=6, n_head=8),
    },
    "llama": {
        "llama_mini": _decoder(
            "Llama",
            64,
            hidden_size=256,
            intermediate_size=688,
            num_hidden_layers=4,
            num_attention_heads=4,
            num_key_value_heads=2,
            vocab_size=8000,
        ),
        "qwen2_mini": _decoder(
            "Qwen2",
            32,
            hidden_size=384,
            intermediate_size=1024,
            num_hidden_layers=6,
            num_attention_heads=6,
            num_key_value_heads=2,
            vocab_size=8000,
        ),
    },
    "opt": {
        "opt_mini": _decoder(
            "OPT",
            64,
            hidden_size=256,
            ffn_dim=1024,
            num_hidden_layers=4,
            num_attention_heads=4,
            word_embed_proj_dim=256,
            vocab_size=8000,
        )
    },
    "t5": {
        "t5_encoder_mini": _of(
            "T5EncoderModel",
            "T5Config",
            64,
            d_model=256,
            d_kv=64,
            d_ff=1024,
            num_layers=4,
            num_heads=4,
        )
    },
    "wav2vec2": {
        "wav2vec2_mini": _speech(
            "Wav2Vec2",
            "Wav2Vec2Model",
            8000,
            hidden_size=128,
            num_hidden_layers=2,
            num_attention_heads=4,
            intermediate_size=512,
            conv_dim=(128,) * 7,
            num_conv_pos_embeddings=32,
            num_conv_pos_embedding_groups=8,
        ),
    },
    "whisper": {"whisper_encoder_tiny": _whisper(256, 3), "whisper_encoder_mini": _whisper(128, 2)},
}
