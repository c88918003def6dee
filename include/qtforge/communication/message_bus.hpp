#pragma once
// qtforge/communication/message_bus.hpp: MessageBus, and buses of one's own. One file of the program includes
// qtforge/host.hpp or qtforge/qtforge.hpp, where what runs them is compiled.

#include <qtforge/communication/bus.hpp>
#include <qtforge/communication/topic.hpp>

#include <boost/asio/post.hpp>

#include <utility>

namespace qtforge::inline QTFORGE_ABI {

template <class Executor>
  requires requires(const Executor& e) { e.context(); }
MessageBus::MessageBus(Executor executor) {
  static constexpr detail::ExecutorTable executorTable{
      [](void* self, detail::Task task) { boost::asio::post(*static_cast<Executor*>(self), detail::UniqueTask(task)); },
      [](void* self) { delete static_cast<Executor*>(self); }, nullptr};
  const detail::Root* root = detail::findRoot();
  if (!root) throw Exception(detail::noRuntime());
  table_ = root->bus;
  Error error;
  core_ = table_->make({&executorTable, new Executor(std::move(executor)), detail::retainOwnLease()},
                       detail::sinkInto(error));
  if (!core_) throw Exception(error);
}

}  // namespace qtforge::inline QTFORGE_ABI
