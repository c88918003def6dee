#pragma once
// qtforge/python/detail/offender.hpp: what becomes of a plugin whose calls go over the limit again and again.

#include <qtforge/python/detail/bridge_interfaces.hpp>

namespace qtforge::inline QTFORGE_ABI::python::detail {

inline void Offender::count(PluginContext& plugin, const Error& error) {
  const auto times = plugin.offences.fetch_add(1, std::memory_order_acq_rel) + 1;
  if (times < mostOffences) return;
  // On a thread of its own, since the state has locks and listeners. Again with each further one: a step may have run.
  root().runtime->post(qtforge::detail::Task::of([context = plugin.shared_from_this(), error] {
    const auto callee = qtforge::detail::LiveManagers::instance().findCallee(context->texts.name);
    if (!callee || (*callee)->object() || PythonSide(*callee).context != context) return;
    if ((*callee)->plugin().fail(Error(error.code(),
                                       "plugin '" + context->texts.name + "': " + std::to_string(mostOffences) +
                                           " calls were stopped, its handlers and timers are not called any more; the last: " +
                                           error.message(),
                                       error.pythonType(), error.traceback())))
      context->state.store(static_cast<int>(PluginState::Error));
  }));
}

}  // namespace qtforge::inline QTFORGE_ABI::python::detail
