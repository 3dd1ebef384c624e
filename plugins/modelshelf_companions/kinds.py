"""Tell what a model is for by its companions: class names of configurations, lists of modules, task tags.

Sources: the classes of transformers, diffusers, sentence-transformers and PEFT, and the Hub's list of tasks.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from modelshelf.model.kind import Kind
from modelshelf_companions.documents import text_of, texts_of

Members = Mapping[str, Any]

_ENDINGS: dict[Kind, tuple[str, ...]] = {
    Kind.CLASSIFIER: (
        *("ForTokenClassification", "ForMultipleChoice", "ForNextSentencePrediction", "RewardModel"),
    ),
    Kind.VISION: (
        *("ForImageClassification", "ForImageClassificationWithTeacher", "ForObjectDetection"),
        *("ForSemanticSegmentation", "ForDepthEstimation", "ForInstanceSegmentation", "ForPoseEstimation"),
        *("ForUniversalSegmentation", "ForZeroShotObjectDetection", "ForZeroShotImageClassification"),
        *("ForMaskedImageModeling", "ForVideoClassification", "ForKeypointDetection", "ForMaskGeneration"),
        *("ForKeypointMatching", "ForImageSegmentation", "ForImageMatting"),
    ),
    Kind.UPSCALER: ("ForImageSuperResolution", "ForImageToImage"),
    Kind.AUDIO: ("ForAudioClassification", "ForAudioFrameClassification", "ForXVector"),
    Kind.SPEECH_RECOGNITION: ("ForCTC", "ForSpeechSeq2Seq", "ForRNNT", "ForTDT", "ForSpeechToText"),
    Kind.TEXT_TO_SPEECH: ("ForTextToSpeech", "ForTextToWaveform", "ForSpeechGeneration", "WithHifiGan"),
    Kind.EMBEDDING: (
        *("ForMaskedLM", "ForPreTraining", "ForRetrieval", "EmbeddingModel", "ForTextEmbedding"),
    ),
    Kind.TEXT_ENCODER: (
        *("T5EncoderModel", "CLIPTextModel", "CLIPTextModelWithProjection", "SiglipTextModel"),
        *("Siglip2TextModel", "ClapTextModelWithProjection"),
    ),
}
"""How the names of classes end, for each kind."""

_BEGINNINGS: dict[Kind, tuple[str, ...]] = {
    Kind.DRAFT: (
        *("Eagle", "LlamaForCausalLMEagle", "Medusa", "MLPSpeculator", "MtpModel", "DFlash", "DSpark"),
    ),
    Kind.SPEECH_RECOGNITION: (
        *("Whisper", "Speech2Text", "Moonshine", "KyutaiSpeechToText", "SeamlessM4T", "SpeechT5ForSpeechTo"),
        *("Parakeet", "CanaryFor", "Qwen3ASR"),
    ),
    Kind.TEXT_TO_SPEECH: (
        *("SpeechT5ForTextTo", "Bark", "Vits", "ParlerTTS", "Csm", "DiaFor", "DiaModel", "Qwen3TTS", "Xtts"),
        *("FastSpeech2", "Kokoro", "ChatTTS", "VibeVoice", "HiggsAudio", "Zonos", "SparkTTS", "CosyVoice"),
    ),
    Kind.AUDIO: (
        *("Musicgen", "Encodec", "DacModel", "Mimi", "Wav2Vec2", "Hubert", "Wavlm", "WavLM", "Clap"),
        *("ASTModel", "UniSpeech", "Data2VecAudio", "SEWModel", "XCodec", "Snac", "SpeechT5HifiGan"),
    ),
    Kind.VISION: (
        *("ViT", "Vit", "Dino", "Swin", "ResNet", "ConvNext", "BeitModel", "DeiT", "CLIPVision", "CLIPModel"),
        *("SiglipVision", "Siglip2Vision", "SiglipModel", "Siglip2Model", "Sam", "EfficientNet", "Timm"),
        *("MobileNet", "RegNet", "Detr", "Yolos", "Segformer", "DPTModel", "PvtModel", "Hiera", "IJepa"),
        *("VJEPA", "ChineseCLIPModel", "AltCLIP", "Owl", "GroundingDino", "Mask2Former", "MaskFormer"),
    ),
}
"""How they begin, where the end does not say it."""

_SEQUENCES = "ForSequenceClassification"
_WRITERS = (
    *("ForCausalLM", "LMHeadModel", "ForConditionalGeneration", "ForImageTextToText", "MTModel", "ChatModel"),
    *(
        "ModelLM",
        "UltravoxModel",
        "DreamModel",
        "ChatGLMModel",
        "OmniModel",
        "MarianMTModel",
        "ForSeq2SeqLM",
        "MiniCPMV",
        "MiniCPMO",
    ),
)
_SEEING = (
    *("vision_config", "visual", "mm_vision_tower", "vision_tower", "image_token_id", "image_token_index"),
    *(
        "vision_model",
        "visual_config",
        "image_size",
        "vision_feature_layer",
        "img_processor",
        "vision_encoder",
    ),
)
_HEARING = (
    "audio_config",
    "encoder_config",
    "speech_config",
    "audio_tower",
    "audio_token_id",
    "audio_token_index",
    "audio_processor",
)
_WATCHING = ("video_token_id", "video_token_index")
_LANGUAGE_PARTS = ("text_config", "thinker_config", "llm_config")
_SEEING_CLASSES = (
    *("VisionEncoderDecoder", "Blip", "InstructBlip", "Florence2", "Pix2Struct", "Kosmos2", "GitForCausalLM"),
    *("Llava", "VisionText", "Idefics", "Mllama", "PaliGemma", "InternVL", "MiniCPMV", "MiniCPMO", "Molmo"),
)
_ENCODERS = (
    *("Bert", "Roberta", "Electra", "Mpnet", "MPNet", "Deberta", "Albert", "Longformer", "Nomic", "Esm"),
    *("EuroBert", "NeoBERT", "GteModel", "NewModel", "DPR", "XLM", "Luke", "Ernie", "Camembert", "BigBird"),
)


_MODEL_TYPES: dict[Kind, frozenset[str]] = {
    Kind.TEXT_GENERATION: frozenset(
        {
            *("llama", "llama4", "mistral", "mistral3", "mixtral", "ministral", "qwen", "qwen2", "qwen2_moe"),
            *("qwen3", "qwen3_moe", "qwen3_next", "qwen2_vl", "qwen2_5_vl", "qwen3_vl", "qwen2_5_omni"),
            *(
                "gemma",
                "gemma2",
                "gemma3",
                "gemma3_text",
                "gemma3n",
                "gemma4",
                "phi",
                "phi3",
                "phimoe",
                "mpt",
            ),
            *("phi-msft", "falcon", "falcon_h1", "bloom", "gpt2", "gptj", "gpt_neo", "gpt_neox", "gpt_oss"),
            *(
                "gpt_bigcode",
                "starcoder2",
                "opt",
                "dbrx",
                "deepseek",
                "deepseek_v2",
                "deepseek_v3",
                "chatglm",
            ),
            *("deepseek_v32", "deepseek_v4", "glm", "glm4", "glm4_moe", "internlm", "internlm2", "stablelm"),
            *("internvl_chat", "internvl", "llava", "llava_next", "llava_onevision", "mllama", "idefics3"),
            *("smolvlm", "smollm3", "olmo", "olmo2", "olmoe", "granite", "granitemoe", "cohere", "cohere2"),
            *("mamba", "mamba2", "jamba", "rwkv", "rwkv7", "baichuan", "yi", "exaone", "exaone4", "nemotron"),
            *(
                "nemotron_h",
                "minicpm",
                "minicpmv",
                "minimax",
                "kimi_k2",
                "kimi_k25",
                "kimi_k3",
                "kimi_linear",
            ),
            *(
                "bitnet",
                "moondream1",
                "t5",
                "mt5",
                "umt5",
                "bart",
                "mbart",
                "pegasus",
                "marian",
                "xglm",
                "ctrl",
            ),
            *("codegen", "persimmon", "fuyu", "paligemma", "ernie4_5", "ernie4_5_moe", "hunyuan", "apertus"),
            *(
                "seed_oss",
                "lfm2",
                "longcat_flash",
                "m2m_100",
                "solar",
                "arctic",
                "openelm",
                "plamo",
                "pixtral",
            ),
        }
    ),
    Kind.EMBEDDING: frozenset(
        {
            *(
                "bert",
                "roberta",
                "xlm-roberta",
                "distilbert",
                "mpnet",
                "electra",
                "albert",
                "deberta",
                "luke",
            ),
            *(
                "deberta-v2",
                "longformer",
                "modernbert",
                "nomic_bert",
                "camembert",
                "big_bird",
                "xlm",
                "xlnet",
            ),
            *("eurobert", "neobert", "ernie", "convbert", "mobilebert", "squeezebert", "funnel"),
        }
    ),
    Kind.SPEECH_RECOGNITION: frozenset({"whisper", "moonshine", "speech_to_text", "parakeet_ctc"}),
    Kind.TEXT_TO_SPEECH: frozenset({"bark", "vits", "parler_tts", "csm", "dia", "fastspeech2_conformer"}),
    Kind.VISION: frozenset(
        {
            *("clip", "siglip", "siglip2", "vit", "dinov2", "dinov3_vit", "swin", "swinv2", "resnet", "deit"),
            *("convnext", "detr", "yolos", "segformer", "dpt", "sam", "sam2", "beit", "depth_anything"),
        }
    ),
    Kind.AUDIO: frozenset({"wav2vec2", "hubert", "wavlm", "encodec", "dac", "mimi", "musicgen", "clap"}),
}
"""transformers' families of models, and what most of each are for; the class may be another one."""


def likely_kind(members: Members) -> str | None:
    """What most models of the family are for that a ``config.json`` names."""
    family = text_of(members.get("model_type"))
    return next((kind.value for kind, names in _MODEL_TYPES.items() if family in names), None)


def kind_of_config(members: Members) -> dict[str, Any]:
    """Fields of `ModelMetadata` by the class in a ``config.json``, of transformers or of diffusers."""
    diffusers = text_of(members.get("_class_name"))
    if diffusers is not None:
        return kind_of_diffusers(diffusers)
    for name in texts_of(members.get("architectures")) or ():
        fields = _kind_of_class(name, members)
        if fields:
            return fields
    inputs = _inputs("", members)
    is_writer = likely_kind(members) == Kind.TEXT_GENERATION
    return {"input_modalities": inputs} if is_writer and len(inputs) > 1 else {}


def _kind_of_class(name: str, members: Members) -> dict[str, Any]:  # noqa: PLR0911 - one for each rule
    if "Eagle3" in name:
        return {"kind": Kind.DRAFT.value}
    if name.endswith(_SEQUENCES):
        return {"kind": (Kind.RERANKER if _labels(members) == 1 else Kind.CLASSIFIER).value}
    for kind, endings in _ENDINGS.items():
        if name.endswith(endings):
            return {"kind": kind.value}
    for kind, beginnings in _BEGINNINGS.items():
        if name.startswith(beginnings) and not _writes_of_what_it_sees(name, kind, members):
            return {"kind": kind.value}
    if name.endswith(_WRITERS) or name.startswith(_SEEING_CLASSES):
        inputs = _inputs(name, members)
        return {"kind": Kind.TEXT_GENERATION.value, "input_modalities": inputs if len(inputs) > 1 else None}
    if _is_without_head(name):
        return {"kind": Kind.EMBEDDING.value}
    return {}


def _is_without_head(name: str) -> bool:
    """Whether a class gives hidden states and nothing else: what an encoder of texts is saved as."""
    if "ColBERT" in name or (name.startswith("DPR") and name.endswith("Encoder")):
        return True
    is_encoder = name.startswith(_ENCODERS) or "Bert" in name
    return name in _BARE_DECODERS or (name.endswith("Model") and is_encoder)


def _writes_of_what_it_sees(name: str, kind: Kind, members: Members) -> bool:
    """Whether a class that begins like one of pictures is a language model that takes them."""
    is_writer = name.endswith(_WRITERS) and any(part in members for part in _LANGUAGE_PARTS)
    return is_writer and kind in {Kind.VISION, Kind.AUDIO}


def _labels(members: Members) -> int:
    """The number of classes; transformers' own default is two."""
    names = members.get("id2label")
    if isinstance(names, dict) and names:
        return len(names)
    number = members.get("num_labels")
    return number if type(number) is int and number > 0 else 2


def _inputs(name: str, members: Members) -> tuple[str, ...]:
    parts = [members, *(part for key in _LANGUAGE_PARTS if isinstance(part := members.get(key), dict))]
    sees = name.startswith(_SEEING_CLASSES) or any(part.get(key) for part in parts for key in _SEEING)
    found = ["text"]
    if sees:
        found.append("image")
    if any(part.get(key) for part in parts for key in _HEARING):
        found.append("audio")
    if sees and any(part.get(key) for part in parts for key in _WATCHING):
        found.append("video")
    return tuple(found)


_BARE_DECODERS = frozenset(
    {
        *(
            "LlamaModel",
            "MistralModel",
            "Qwen2Model",
            "Qwen3Model",
            "GemmaModel",
            "Gemma2Model",
            "NVEmbedModel",
        ),
        *("Gemma3TextModel", "PhiModel", "Phi3Model", "GraniteModel", "LlamaBidirectionalModel", "GPT2Model"),
        *("LlamaBidirectionalSparseModel", "MixtralModel", "Ministral3Model", "LlamaEncoderModel"),
    }
)
"""Decoders that were saved without their head, as models of embeddings are."""

_VIDEO_WORDS = (
    *("Video", "Wan", "LTX", "CogVideo", "Mochi", "Animate", "TextToVideo", "Cosmos", "Allegro", "SkyReels"),
    *("Latte", "I2VGen", "Kandinsky5T2V", "MotionModel"),
)
_AUDIO_WORDS = ("Audio", "Music", "DanceDiffusion")


def kind_of_diffusers(name: str) -> dict[str, Any]:  # noqa: PLR0911 - one for each rule
    """Fields by a class of diffusers: a pipeline is a whole, all else is a part of one."""
    if name.endswith("Pipeline") or "Pipeline" in name:
        if any(word in name for word in _AUDIO_WORDS):
            return {"kind": Kind.AUDIO.value, "output_modalities": ("audio",)}
        is_video = any(word in name for word in _VIDEO_WORDS)
        return {"kind": (Kind.VIDEO_GENERATION if is_video else Kind.IMAGE_GENERATION).value}
    if "ControlNet" in name:
        return {"kind": Kind.CONTROLNET.value}
    if name.startswith(("Autoencoder", "AsymmetricAutoencoder", "VQModel", "ConsistencyDecoderVAE")):
        return {"kind": Kind.VAE.value}
    if "Adapter" in name:
        return {"kind": Kind.ADAPTER.value}
    if "UNet" in name or "Transformer" in name or name.startswith(("PriorTransformer", "StableCascadeUNet")):
        output = "audio" if any(word in name for word in _AUDIO_WORDS) else "image"
        video = any(word in name for word in _VIDEO_WORDS) or "3D" in name
        return {"kind": Kind.DENOISER.value, "output_modalities": ("video" if video else output,)}
    return {}


_TASKS: dict[str, Kind] = {
    "text-generation": Kind.TEXT_GENERATION,
    "text2text-generation": Kind.TEXT_GENERATION,
    "conversational": Kind.TEXT_GENERATION,
    "summarization": Kind.TEXT_GENERATION,
    "translation": Kind.TEXT_GENERATION,
    "image-text-to-text": Kind.TEXT_GENERATION,
    "video-text-to-text": Kind.TEXT_GENERATION,
    "audio-text-to-text": Kind.TEXT_GENERATION,
    "image-to-text": Kind.TEXT_GENERATION,
    "visual-question-answering": Kind.TEXT_GENERATION,
    "any-to-any": Kind.TEXT_GENERATION,
    "feature-extraction": Kind.EMBEDDING,
    "sentence-similarity": Kind.EMBEDDING,
    "fill-mask": Kind.EMBEDDING,
    "visual-document-retrieval": Kind.EMBEDDING,
    "text-ranking": Kind.RERANKER,
    "text-classification": Kind.CLASSIFIER,
    "token-classification": Kind.CLASSIFIER,
    "zero-shot-classification": Kind.CLASSIFIER,
    "text-to-image": Kind.IMAGE_GENERATION,
    "image-to-image": Kind.IMAGE_GENERATION,
    "unconditional-image-generation": Kind.IMAGE_GENERATION,
    "text-to-video": Kind.VIDEO_GENERATION,
    "image-to-video": Kind.VIDEO_GENERATION,
    "automatic-speech-recognition": Kind.SPEECH_RECOGNITION,
    "text-to-speech": Kind.TEXT_TO_SPEECH,
    "text-to-audio": Kind.AUDIO,
    "audio-classification": Kind.AUDIO,
    "audio-to-audio": Kind.AUDIO,
    "voice-activity-detection": Kind.AUDIO,
    "image-classification": Kind.VISION,
    "object-detection": Kind.VISION,
    "image-segmentation": Kind.VISION,
    "depth-estimation": Kind.VISION,
    "mask-generation": Kind.VISION,
    "keypoint-detection": Kind.VISION,
    "video-classification": Kind.VISION,
    "image-feature-extraction": Kind.VISION,
    "zero-shot-image-classification": Kind.VISION,
    "zero-shot-object-detection": Kind.VISION,
}
"""The Hub's tasks that mean one kind; question answering, say, is none of them."""

_TASK_INPUTS = {
    "image-text-to-text": ("text", "image"),
    "video-text-to-text": ("text", "video"),
    "audio-text-to-text": ("text", "audio"),
    "visual-question-answering": ("text", "image"),
    "image-to-text": ("image",),
    "image-to-image": ("text", "image"),
    "image-to-video": ("text", "image"),
    "visual-document-retrieval": ("text", "image"),
}


def kind_of_task(tag: str | None) -> dict[str, Any]:
    """Fields by a task of the Hub."""
    kind = _TASKS.get((tag or "").lower())
    if kind is None:
        return {}
    return {"kind": kind.value, "input_modalities": _TASK_INPUTS.get((tag or "").lower())}


_DIALECTS = {"adalora": "lora"}


def adapter_details(members: Members) -> dict[str, Any]:
    """Dialect, rank, alpha and targets of an ``adapter_config.json``, of PEFT or of mlx-lm."""
    nested = members.get("lora_parameters")
    settings: Members = nested if isinstance(nested, dict) else members
    named = text_of(members.get("peft_type")) or text_of(members.get("fine_tune_type"))
    dialect = _DIALECTS.get(named.lower(), named.lower()) if named else None
    if dialect == "lora" and members.get("alora_invocation_tokens"):
        dialect = "alora"
    elif dialect == "lora" and members.get("use_dora") is True:
        dialect = "dora"
    targets = members.get("target_modules") or settings.get("keys")
    listed = texts_of(targets)
    details = {
        "adapter": dialect,
        "adapter_rank": _count(settings.get("r")) or _count(settings.get("rank")),
        "adapter_alpha": _amount(settings.get("lora_alpha")) or _amount(settings.get("alpha")),
        "target_modules": sorted(listed) if listed else None,
        "task_type": text_of(members.get("task_type")),
    }
    return {name: value for name, value in details.items() if value is not None}


def _count(value: object) -> int | None:
    return value if type(value) is int and 0 < value < 1 << 31 else None


def _amount(value: object) -> int | float | None:
    if type(value) is float:
        return value if 0 < value < 1 << 31 else None
    return _count(value)
