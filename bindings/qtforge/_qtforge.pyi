from collections.abc import Coroutine, Sequence
from types import CodeType, GenericAlias, TracebackType
from typing import (
    Any,
    Callable,
    ClassVar,
    Generic,
    Literal,
    Protocol,
    SupportsFloat,
    SupportsIndex,
    TypedDict,
    TypeVar,
    final,
    overload,
)

from typing_extensions import Buffer, TypeAlias

__version__: str
abi_tag: str

_Delivery: TypeAlias = Literal["queued", "direct"]
_Policy: TypeAlias = Literal["block", "drop_oldest", "drop_newest", "fail", "latest"]
_Seconds: TypeAlias = SupportsFloat | SupportsIndex
_T = TypeVar("_T")
_D = TypeVar("_D")

class _Array(Protocol):  # numpy's arrays, which to type checkers are no Buffer before Python 3.12, and others like them
    @property
    def __array_interface__(self) -> dict[str, Any]: ...

class _Tensor(Protocol):
    def __dlpack__(self) -> Any: ...
    def __dlpack_device__(self) -> tuple[Any, int]: ...

class _SubscriptionStats(TypedDict):
    delivered: int
    dropped: int
    mismatched: int
    failed: int
    pending: int
    replaced: int

class _Description(TypedDict):
    name: str
    version: str
    description: str
    author: str
    dependencies: list[str]
    key: int  # of this load alone
    folder: str
    data_dir: str  # empty: there is no place

class _PluginInfo(TypedDict):
    name: str
    version: str
    description: str
    author: str
    state: int
    object: object

@final
class BinaryMessage:
    __match_args__: ClassVar[tuple[str, ...]] = ("data", "content_type", "dtype", "shape")
    __hash__: ClassVar[None]  # type: ignore[assignment]
    @property
    def data(self) -> memoryview: ...
    @property
    def content_type(self) -> str: ...
    @property
    def dtype(self) -> str: ...
    @property
    def shape(self) -> tuple[int, ...]: ...
    @property
    def __array_interface__(self) -> dict[str, Any]: ...
    def __new__(
        cls,
        data: Buffer | _Array | _Tensor,
        content_type: str = "application/octet-stream",
        dtype: str = "",
        shape: Sequence[SupportsIndex] = (),
        *,
        copy: bool | None = None,
    ) -> BinaryMessage: ...
    def __eq__(self, other: object, /) -> bool: ...
    def __dlpack__(
        self,
        stream: None = None,
        *,
        max_version: tuple[int, int] | None = None,
        dl_device: tuple[int, int] | None = None,
        copy: bool | None = None,
    ) -> Any: ...
    def __dlpack_device__(self) -> tuple[int, int]: ...
    def __copy__(self) -> BinaryMessage: ...
    def __deepcopy__(self, memo: dict[int, Any], /) -> BinaryMessage: ...

@final
class Message:
    __match_args__: ClassVar[tuple[str, ...]] = ("topic", "payload", "sender", "id", "time", "headers", "reply_to")
    __hash__: ClassVar[None]  # type: ignore[assignment]
    @property
    def topic(self) -> str: ...
    @property
    def payload(self) -> Any: ...
    @property
    def sender(self) -> str: ...
    @property
    def id(self) -> int: ...
    @property
    def time(self) -> float: ...
    @property
    def headers(self) -> dict[str, Any]: ...
    @property
    def reply_to(self) -> str | None: ...
    def __new__(
        cls,
        topic: str,
        payload: Any,
        sender: str = "",
        id: int = 0,
        time: float = 0.0,
        headers: dict[str, Any] | None = None,
        reply_to: str | None = None,
    ) -> Message: ...
    def __eq__(self, other: object, /) -> bool: ...

@final
class Subscription:
    @property
    def active(self) -> bool: ...
    @property
    def pattern(self) -> str: ...
    def unsubscribe(self) -> bool: ...
    def stats(self) -> _SubscriptionStats | None: ...
    def __enter__(self) -> Subscription: ...
    def __exit__(
        self,
        kind: type[BaseException] | None,
        raised: BaseException | None,
        where: TracebackType | None,
        /,
    ) -> None: ...

@final
class Receiver(Generic[_T]):
    @property
    def active(self) -> bool: ...
    @property
    def pattern(self) -> str: ...
    def receive(self, timeout: _Seconds | None = None) -> _T: ...
    @overload
    def try_receive(self, default: None = None) -> _T | None: ...
    @overload
    def try_receive(self, default: _D) -> _T | _D: ...
    def areceive(self) -> Coroutine[Any, Any, _T]: ...
    def _await_message(self) -> bool: ...
    def unsubscribe(self) -> bool: ...
    def stats(self) -> _SubscriptionStats | None: ...
    def __iter__(self) -> Receiver[_T]: ...
    def __next__(self) -> _T: ...
    def __aiter__(self) -> Receiver[_T]: ...
    def __anext__(self) -> Coroutine[Any, Any, _T]: ...
    def __class_getitem__(cls, item: Any, /) -> GenericAlias: ...
    def __enter__(self) -> Receiver[_T]: ...
    def __exit__(
        self,
        kind: type[BaseException] | None,
        raised: BaseException | None,
        where: TracebackType | None,
        /,
    ) -> None: ...

@final
class MessageBus:
    @classmethod
    def instance(cls) -> MessageBus: ...
    def publish(
        self,
        topic: str,
        payload: Any,
        *,
        reply_to: str | None = None,
        headers: dict[str, Any] | None = None,
        retain: bool = False,
    ) -> int: ...
    @overload
    def subscribe(
        self,
        pattern: str,
        handler: Callable[[Message], object],
        *,
        envelope: Literal[True],
        delivery: _Delivery = "queued",
        capacity: SupportsIndex = 65536,
        policy: _Policy = "block",
        block_timeout: _Seconds = 5.0,
        owner: object = None,
        group: str = "",
        retained: bool = True,
        filter: Callable[[Message], object] | None = None,
    ) -> Subscription: ...
    @overload
    def subscribe(
        self,
        pattern: str,
        handler: Callable[[Any], object],
        *,
        envelope: bool = False,
        delivery: _Delivery = "queued",
        capacity: SupportsIndex = 65536,
        policy: _Policy = "block",
        block_timeout: _Seconds = 5.0,
        owner: object = None,
        group: str = "",
        retained: bool = True,
        filter: Callable[[Any], object] | None = None,
    ) -> Subscription: ...
    @overload
    def respond(
        self,
        pattern: str,
        handler: Callable[[Message], object],
        *,
        envelope: Literal[True],
        delivery: _Delivery = "queued",
        capacity: SupportsIndex = 65536,
        policy: _Policy = "block",
        block_timeout: _Seconds = 5.0,
        owner: object = None,
        group: str = "",
        retained: bool = True,
        filter: Callable[[Message], object] | None = None,
    ) -> Subscription: ...
    @overload
    def respond(
        self,
        pattern: str,
        handler: Callable[[Any], object],
        *,
        envelope: bool = False,
        delivery: _Delivery = "queued",
        capacity: SupportsIndex = 65536,
        policy: _Policy = "block",
        block_timeout: _Seconds = 5.0,
        owner: object = None,
        group: str = "",
        retained: bool = True,
        filter: Callable[[Any], object] | None = None,
    ) -> Subscription: ...
    @overload
    def receiver(
        self,
        pattern: str,
        *,
        envelope: Literal[True],
        capacity: SupportsIndex = 65536,
        policy: _Policy = "block",
        block_timeout: _Seconds = 5.0,
        owner: object = None,
        group: str = "",
        retained: bool = True,
        filter: Callable[[Message], object] | None = None,
    ) -> Receiver[Message]: ...
    @overload
    def receiver(
        self,
        pattern: str,
        *,
        envelope: bool = False,
        capacity: SupportsIndex = 65536,
        policy: _Policy = "block",
        block_timeout: _Seconds = 5.0,
        owner: object = None,
        group: str = "",
        retained: bool = True,
        filter: Callable[[Any], object] | None = None,
    ) -> Receiver[Any]: ...
    def tap(
        self,
        handler: Callable[[Message], object],
        pattern: str = ">",
        *,
        every: SupportsIndex = 1,
        capacity: SupportsIndex = 65536,
        policy: Literal["drop_oldest", "drop_newest", "latest"] = "drop_oldest",
        owner: object = None,
        filter: Callable[[Message], object] | None = None,
    ) -> Subscription: ...
    @overload
    def request(self, topic: str, payload: Any, *, timeout: _Seconds = 5.0, envelope: Literal[True]) -> Message: ...
    @overload
    def request(self, topic: str, payload: Any, *, timeout: _Seconds = 5.0, envelope: bool = False) -> Any: ...
    def clear_retained(self, pattern: str, /) -> int: ...
    def unsubscribe_all(self, owner: object, /) -> int: ...
    def drain(self, timeout: _Seconds = 5.0) -> None: ...
    def stats(self) -> dict[str, Any]: ...

def log(level: int, logger: str, message: str, file: str, line: int) -> None: ...
def log_level() -> int: ...
def set_log_level(level: int) -> None: ...
def log_of_logging(level: int, logger: str, message: str, file: str, line: int) -> None: ...
def log_subscribe(function: Callable[[int, str, str, str, int, float, bool], object], level: int) -> int: ...
def log_unsubscribe(subscription: int) -> bool: ...
def follow_log(function: Callable[[], object]) -> None: ...
def owns_python() -> bool: ...
def debug_mode() -> bool: ...
def set_debug_mode(enabled: bool) -> bool: ...
def plugin_state(plugin: object) -> int | None: ...
def plugin_description(plugin: object) -> _Description | None: ...
def compile_module(source: bytes, filename: str) -> CodeType: ...
def plugin_load(path: str) -> int: ...
def plugin_load_as(path: str, name: str, topic_prefix: str, configuration: dict[str, Any]) -> int: ...
def plugin_step(plugin: int, step: Literal["initialize", "activate", "deactivate", "cleanup", "unload", "reload"]) -> None: ...
def plugin_info(plugin: int) -> _PluginInfo: ...
def start_timer(plugin: object, seconds: float, function: Callable[[], object], repeat: bool) -> int: ...
def stop_timer(timer: int) -> None: ...
def plugin_config(plugin: object) -> dict[str, Any] | None: ...
def plugin_configuration(plugin: int) -> dict[str, Any]: ...
def plugin_configure(plugin: int, values: dict[str, Any]) -> None: ...
def plugin_keep_configuration(plugin: int, path: str) -> None: ...
def plugin_abi_tag(path: str) -> str: ...
def plugin_find(name: str) -> tuple[int, object | None, list[tuple[str, str, tuple[Any, ...]]]]: ...
def plugin_found(found: int) -> object: ...
def plugin_invoke(found: int, name: str, arguments: tuple[Any, ...], named: dict[str, Any]) -> Any: ...
def offer(plugin: object, name: str, object: object) -> None: ...
def withdraw(plugin: object, name: str) -> None: ...
def plugin_call(plugin: int, interface: str, method: str, arguments: tuple[Any, ...]) -> Any: ...
