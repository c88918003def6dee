#pragma once
// What the tests of the bus share.

#include <qtforge/communication/message_bus.hpp>

#include <boost/asio/io_context.hpp>

namespace test {

/// A bus whose handlers run when the test says so.
struct ManualBus {
  boost::asio::io_context context;
  qtforge::MessageBus bus{context.get_executor()};

  void runHandlers() {
    context.restart();
    context.poll();
  }
};

}  // namespace test
