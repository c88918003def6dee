#pragma once
// qtforge/python/detail/bridge_receiver.hpp: the bus for Python: messages that are received when they are wanted.

#include <qtforge/python/detail/bridge_bus.hpp>

namespace qtforge::inline QTFORGE_ABI::python::detail {

inline PyObject* bridgeReceiver(PyObject* pattern, PyObject* wake, PyObject* options) {
  const Gil gil{GilHeld()};
  const OptionReader given(options, "receiver");
  qtforge::detail::SubscribeArgs args;
  bool envelope = false;
  PyObject* filter = nullptr;
  if (!readSubscribeOptions(given, args) || !given.flag("envelope", envelope) || !given.callable("filter", filter))
    return nullptr;
  const auto text = textArgument(pattern, "pattern");
  if (!text) return nullptr;
  args.pattern = *text;
  args.delivery = static_cast<std::int32_t>(DeliveryMode::Queued);
  args.responds = false;
  const auto plugin = callingPlugin(gil);
  PyObject* owner = given.find("owner");
  if (!owner || owner == Py_None) owner = plugin ? plugin->object.get() : nullptr;

  const auto receiver = std::make_shared<PythonReceiver>(wake, HandlerFilter(filter, plugin), owner, envelope);
  args.handler = &receiver->table();
  args.self = new PythonReceiver::Share(receiver);
  Error error;
  void* handle = root().bus->subscribe(root().busCore, clientOf(plugin.get()), &args, qtforge::detail::sinkInto(error));
  if (!handle) return raise(error, gil);
  receiver->open(handle);
  return PyLong_FromUnsignedLongLong(
      PythonSubscriptions::instance().add({handle, owner, plugin.get(), std::move(receiver)}));
}

inline Error receiverEnded() { return Error(Errc::ShuttingDown, "receive: the subscription has ended"); }

inline PyObject* bridgeReceive(std::uint64_t number, double seconds, PyObject* ended) {
  const Gil gil{GilHeld()};
  using Clock = PythonReceiver::Clock;
  const auto receiver = PythonSubscriptions::instance().receiver(number);
  const auto deadline =
      seconds >= 0 && seconds <= 1e6
          ? Clock::now() + std::chrono::duration_cast<Clock::duration>(std::chrono::duration<double>(seconds))
          : Clock::time_point::max();
  if (receiver) {
    Ref message = receiver->receive(deadline, seconds, gil);
    if (message || PyErr_Occurred()) return message.release();
  }
  return ended ? Ref::borrow(ended).release() : raise(receiverEnded(), gil);
}

inline PyObject* bridgeTryReceive(std::uint64_t number, PyObject* none) {
  const Gil gil{GilHeld()};
  const auto receiver = PythonSubscriptions::instance().receiver(number);
  const bool over = !receiver || receiver->ended();
  if (over) return raise(receiverEnded(), gil);
  Ref message = receiver->tryReceive(gil);
  return message || PyErr_Occurred() ? message.release() : Ref::borrow(none).release();
}

inline PyObject* bridgeAwaitMessage(std::uint64_t number) {
  const auto receiver = PythonSubscriptions::instance().receiver(number);
  return PyBool_FromLong(!receiver || receiver->awaitMessage());
}

}  // namespace qtforge::inline QTFORGE_ABI::python::detail
