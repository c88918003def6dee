#pragma once
// qtforge/communication/detail/passage.hpp: a message that is being published: made when the first receiver needs it.

#include <qtforge/communication/detail/bus_table.hpp>
#include <qtforge/communication/detail/client.hpp>
#include <qtforge/communication/detail/message_arena.hpp>

namespace qtforge::inline QTFORGE_ABI::detail {

/// One publish on its way: what was asked for, and what becomes of it. The payload is shown as it is, and as a shared
/// message once somebody needs that.
class Passage {
 public:
  /// @param sent  out: whom it reached
  Passage(Client& by, PublishArgs& given, ThreadRecord& on, Delivery& sent) noexcept
      : client(by), args(given), thread(on), delivery(sent) {
    if (args.extras) {
      args.attachments = args.extras->attachments;
      args.shadow = &args.extras->shadow;
    }
    args.context = this;
    args.record = [](Arrival* a) { return static_cast<Passage*>(a->context)->shared(); };
  }
  Passage(const Passage&) = delete;
  Passage& operator=(const Passage&) = delete;

  const Message& message() {
    shared();
    return message_;
  }

  /// The same for the last who needs it.
  Message takeMessage() {
    shared();
    return std::exchange(message_, Message::adopt(nullptr));
  }

  Client& client;
  PublishArgs& args;
  ThreadRecord& thread;
  Delivery& delivery;

 private:
  MessageRecord* shared() {
    if (message_.record()) return message_.record();
    return make();
  }

  [[gnu::noinline]] MessageRecord* make() {
    if (args.payload.kind == PayloadKind::Typed && args.payload.type->build) {
      Error error;
      if (args.payload.type->build(const_cast<void*>(args.payload.object), sinkInto(error)) != 0) throw Exception(error);
    }
    if (args.build) return takeBuilt();
    takeReturned(thread);
    MessageRecord* made = makeRecord(plan(), thread);
    Message owner = Message::adopt(made);
    describe(*made);
    if (args.source) sharePayload(*made);
    else takePayload(*made);
    message_ = std::move(owner);
    args.payload = made->view();
    return made;
  }

  // The payload is there already.
  MessageRecord* takeBuilt() {
    MessageRecord* made = args.build->record;
    MessageArena arena(*args.build);
    if (hasExtras()) made->extras = new (arena.allocate(sizeof(MessageExtras), alignof(MessageExtras))) MessageExtras();
    arena.trim(thread);
    describe(*made);
    message_ = Message::adopt(std::exchange(args.build->record, nullptr));
    return made;
  }

  void describe(MessageRecord& made) const {
    made.sender = &client.internedName();
    made.id = (thread.number << 40) + ++thread.messages;
    made.time = thread.clock.now();
    if (!made.extras) return;
    if (args.extras) fillExtras(*made.extras, *args.extras);
    args.attachments = &made.extras->attachments;
    args.shadow = &made.extras->shadow;
  }

  [[nodiscard]] RecordPlan plan() const noexcept {
    const bool extras = hasExtras();
    RecordPlan plan{args.topic, extras || args.source || args.payload.kind == PayloadKind::Typed};
    if (args.payload.kind == PayloadKind::Json) {
      const auto& value = *static_cast<const boost::json::value*>(args.payload.object);
      plan.onlyMemory = !extras && !args.source && !value.is_structured() && !value.is_string();
    }
    if (args.source) {
      plan.payloadSize = 0;
    } else if (args.payload.kind == PayloadKind::Binary) {
      plan.payloadSize = sizeof(BinaryMessage);
      plan.payloadAlignment = alignof(BinaryMessage);
    } else if (args.payload.kind == PayloadKind::Typed) {
      plan.payloadSize = args.payload.type->size;
      plan.payloadAlignment = args.payload.type->alignment;
      plan.onlyMemory = !extras && args.payload.type->onlyMemory;
    }
    return plan;
  }

  [[nodiscard]] bool hasExtras() const noexcept {
    const auto* given = args.extras;
    return given && (given->retain || given->correlation != 0 || given->replyTo.size > 0 || given->headers ||
                     (given->attachments && !given->attachments->empty()) || given->shadow.object);
  }

  void fillExtras(MessageExtras& to, PublishExtras& from) const {
    if (from.attachments) {
      if (args.adopt && !from.attachmentsOfCaller) to.attachments = std::move(*from.attachments);
      else to.attachments = *from.attachments;
    }
    if (from.headers) to.headers = *from.headers;
    to.replyTo = std::string(std::string_view(from.replyTo));
    to.correlation = from.correlation;
    to.shadow = std::exchange(from.shadow, {});
  }

  // Of a message that was published before.
  void sharePayload(MessageRecord& made) const {
    args.source->references.fetch_add(1, std::memory_order_relaxed);
    made.extras->source = args.source;
    made.extras->type = args.payload.type;
    made.payload = args.payload.object;
    made.kind = args.payload.kind;
  }

  void takePayload(MessageRecord& made) const {
    void* place = const_cast<void*>(made.payload);
    void* given = const_cast<void*>(args.payload.object);
    switch (args.payload.kind) {
      case PayloadKind::Json: takeJson(place, *static_cast<boost::json::value*>(given)); break;
      case PayloadKind::Binary:
        if (args.adopt) new (place) BinaryMessage(std::move(*static_cast<BinaryMessage*>(given)));
        else new (place) BinaryMessage(*static_cast<const BinaryMessage*>(given));
        break;
      case PayloadKind::Typed: {
        const auto* type = args.payload.type;
        Error error;
        if (type->construct(place, given, args.adopt, sinkInto(error)) != 0) throw Exception(error);
        made.extras->type = type;
        made.extras->lease = type->retainLease();
        break;
      }
      case PayloadKind::None: return;
    }
    made.kind = args.payload.kind;
  }

  void takeJson(void* place, boost::json::value& given) const {
    if (given.is_structured() && nestedDeeperThan(given, maxPayloadDepth)) throw Exception(tooDeep(args.topic));
    // A value on a memory resource of the caller's own must not outlive it. One on ours is a copy of a built payload, or is
    // built just now.
    const auto* resource = given.storage().get();
    const bool ours = resource == boost::json::storage_ptr().get() ||
                      (resource == BuildResource::storage().get() && !thread.build);
    if (args.adopt && ours) new (place) boost::json::value(std::move(given));
    else new (place) boost::json::value(std::as_const(given), boost::json::storage_ptr());
  }

  Message message_ = Message::adopt(nullptr);  // until somebody needs it
};

}  // namespace qtforge::inline QTFORGE_ABI::detail
