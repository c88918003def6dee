#pragma once
// qtforge/communication/communication.hpp: topics, messages and the bus.

#include <qtforge/communication/array_view.hpp>
#include <qtforge/communication/async.hpp>
#include <qtforge/communication/buffer.hpp>
#include <qtforge/communication/filter.hpp>
#include <qtforge/communication/message.hpp>
#include <qtforge/communication/message_bus.hpp>
#include <qtforge/communication/receiver.hpp>
#include <qtforge/communication/recording.hpp>
#include <qtforge/communication/replay.hpp>
#include <qtforge/communication/subscription.hpp>
#include <qtforge/communication/topic.hpp>
