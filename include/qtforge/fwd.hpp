#pragma once
// qtforge/fwd.hpp: declares what qtforge defines, for headers that only name it.

#include <qtforge/utils/config.hpp>

#include <cstdint>

namespace qtforge::inline QTFORGE_ABI {

enum class Errc : int;
class Error;
class Exception;

enum class LogLevel : std::int32_t;
class Logger;
struct LogRecord;
class Runtime;
class Timer;

class Buffer;
struct BinaryMessage;
template <class T>
class ArrayView;
struct Attachment;
class Message;
struct Delivery;
enum class DeliveryMode : std::int32_t;
enum class OverflowPolicy : std::int32_t;
struct SubscribeOptions;
struct PublishOptions;
struct TapOptions;
struct SubscriptionStats;
class Subscription;
class Publisher;
class MessageBus;
class Recorder;
class RingRecorder;
class RecordingReader;
struct RecordedMessage;
struct RecorderOptions;
struct RecorderStats;
struct ReplayOptions;
struct ReplaySummary;

enum class PluginState : int;
class IPlugin;
class Configuration;
struct ConfigurationEntry;
struct Manifest;
struct Version;
class VersionRange;
struct Dependency;
class IPluginLoader;
class NativePluginLoader;
struct LoadContext;
class LoadedPlugin;
class PluginHandle;
enum class Unload;
struct PluginFailure;
struct PluginReport;
class PluginManager;

namespace python {
struct PythonConfig;
class PythonIntegration;
class PythonPluginLoader;
class PythonExecutor;
class PythonValue;
struct PackageSource;
struct PackageOptions;
class PackageManager;
}  // namespace python

}  // namespace qtforge::inline QTFORGE_ABI
