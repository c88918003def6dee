#pragma once
// qtforge/communication/detail/message_arena.hpp: JSON that is built where its message lies, and freed with it at once.

#include <qtforge/communication/detail/bus_table.hpp>
#include <qtforge/communication/detail/message_record.hpp>
#include <qtforge/communication/detail/payload_depth.hpp>

#include <boost/container/pmr/memory_resource.hpp>
#include <boost/json/storage_ptr.hpp>

#include <algorithm>
#include <cstddef>
#include <functional>
#include <new>
#include <utility>

namespace qtforge::inline QTFORGE_ABI::detail {

/// The memory of the message that a thread builds: what is left of the message's own, then larger and larger buffers.
class MessageArena {
 public:
  explicit MessageArena(MessageBuild& build) noexcept : build_(build) {}

  void* allocate(std::size_t size, std::size_t alignment) {
    auto* place = aligned(build_.at, alignment);
    if (place > build_.end || size > static_cast<std::size_t>(build_.end - place)) [[unlikely]] {
      grow(size + alignment);
      place = aligned(build_.at, alignment);
    }
    build_.at = place + size;
    return place;
  }

  [[nodiscard]] bool owns(const void* memory) const noexcept {
    const auto within = [&](const void* begin, std::size_t size) {
      return std::less_equal<>()(begin, memory) && std::less<>()(memory, static_cast<const std::byte*>(begin) + size);
    };
    if (within(build_.record, build_.size)) return true;
    for (const auto* buffer = payload().more; buffer; buffer = buffer->next)
      if (within(buffer, buffer->size)) return true;
    return false;
  }

  /// What would have been enough, in bytes behind the payload.
  [[nodiscard]] std::size_t used() const noexcept {
    const auto* begin = reinterpret_cast<const std::byte*>(&payload() + 1);
    const auto* buffer = payload().more;
    if (!buffer) return static_cast<std::size_t>(build_.at - begin);
    auto total = static_cast<std::size_t>(reinterpret_cast<const std::byte*>(build_.record) + build_.size - begin);
    for (; buffer; buffer = buffer->next) total += buffer->size;
    return total - static_cast<std::size_t>(build_.end - build_.at);
  }

  /// Gives back what was not used, if nothing was taken after it.
  void trim(ThreadRecord& maker) const noexcept {
    const auto& record = *build_.record;
    if (record.inBlock && !payload().more) MessageBlock::trim(maker, build_.end, build_.at);
  }

 private:
  [[nodiscard]] BuiltPayload& payload() const noexcept { return BuiltPayload::of(*build_.record); }

  static std::byte* aligned(std::byte* at, std::size_t alignment) noexcept {
    const auto number = reinterpret_cast<std::uintptr_t>(at);
    return at + ((number + alignment - 1) / alignment * alignment - number);
  }

  void grow(std::size_t least) {
    auto& more = payload().more;
    const auto size = std::max(sizeof(ArenaBuffer) + least, 2 * (more ? more->size : build_.size));
    more = new (::operator new(size)) ArenaBuffer{more, size};
    build_.at = reinterpret_cast<std::byte*>(more + 1);
    build_.end = reinterpret_cast<std::byte*>(more) + size;
  }

  MessageBuild& build_;
};

/// What JSON in built messages takes its memory from: the message while it is built, on the thread that builds it, else the
/// heap. Copies that handlers make of such JSON take the resource over, not the message's memory, so that they may outlive it.
class BuildResource final : public boost::container::pmr::memory_resource {
 public:
  static boost::json::storage_ptr storage() {
    static auto* const resource = new BuildResource();  // never destroyed: copies may be there until the end
    return boost::json::storage_ptr(resource);
  }

 private:
  // Handlers that run meanwhile, because the building code publishes, have no part in it.
  static MessageBuild* building() noexcept {
    auto& thread = ThreadRecords::mine();
    return thread.build && thread.build->callDepth == thread.callDepth ? thread.build : nullptr;
  }

  void* do_allocate(std::size_t size, std::size_t alignment) override {
    if (auto* build = building()) [[likely]]
      return MessageArena(*build).allocate(size, alignment);
    return ::operator new(size, std::align_val_t(alignment));
  }
  void do_deallocate(void* memory, std::size_t, std::size_t alignment) override {
    if (auto* build = building(); build && MessageArena(*build).owns(memory)) return;
    ::operator delete(memory, std::align_val_t(alignment));
  }
  [[nodiscard]] bool do_is_equal(const boost::container::pmr::memory_resource& other) const noexcept override {
    return this == &other;
  }
};

/// Whether the JSON, and all in it, lies in `arena`: what was moved into it may not.
inline bool liesIn(const MessageArena& arena, const boost::json::value& value) noexcept {
  if (const auto* object = value.if_object()) {
    if (object->capacity() > 0 && !arena.owns(object->begin())) return false;
    for (const auto& member : *object)
      if ((!member.key().empty() && !arena.owns(member.key().data())) || !liesIn(arena, member.value())) return false;
  } else if (const auto* array = value.if_array()) {
    if (array->capacity() > 0 && !arena.owns(array->data())) return false;
    for (const auto& item : *array)
      if (!liesIn(arena, item)) return false;
  } else if (const auto* text = value.if_string()) {
    return arena.owns(text->data());
  }
  return true;
}

/// The steps of building a message, see BusTable; all on one thread, and what is begun last ends first.
struct MessageBuilding {
  static void begin(std::string_view topic, MessageBuild& build) {
    auto& thread = ThreadRecords::mine();
    takeReturned(thread);
    const auto room = thread.buildSize;
    auto* record = makeRecord({topic, false, true, sizeof(BuiltPayload) + room, alignof(BuiltPayload)}, thread);
    auto* payload = new (const_cast<void*>(record->payload)) BuiltPayload{boost::json::value(BuildResource::storage())};
    record->kind = PayloadKind::Json;
    record->built = true;
    build.record = record;
    build.value = &payload->value;
    build.at = reinterpret_cast<std::byte*>(payload + 1);
    build.end = build.at + room;
    build.size = static_cast<std::size_t>(build.end - reinterpret_cast<std::byte*>(record));
    build.callDepth = thread.callDepth;
    build.outer = std::exchange(thread.build, &build);
    build.active = true;
  }

  /// The payload is complete.
  ///
  /// @param trusted  the library built it: all of it lies in the message, and it is not too deep
  /// @return nothing, or Errc::LimitExceeded
  static expected<void> end(MessageBuild& build, bool trusted) {
    auto& value = *build.value;
    if (!trusted && value.is_structured() && nestedDeeperThan(value, maxPayloadDepth))
      return tooDeep(build.record->topic());
    if (!trusted && !liesIn(MessageArena(build), value))
      value = boost::json::value(std::as_const(value), value.storage());  // what is the heap's is freed
    leave(build);
    return {};
  }

  /// Ends the message, unless somebody has it.
  static void abandon(MessageBuild& build) {
    if (!build.record) return;
    if (build.active) {
      *build.value = nullptr;  // frees what is the heap's
      leave(build);
    }
    Message::adopt(std::exchange(build.record, nullptr));
  }

 private:
  static constexpr std::size_t mostRoom = 64 * 1024;  // beyond that larger messages have more buffers

  static void leave(MessageBuild& build) {
    auto& thread = ThreadRecords::mine();
    thread.build = build.outer;
    build.active = false;
    const auto used = static_cast<std::uint32_t>(std::min(MessageArena(build).used(), mostRoom));
    auto& room = thread.buildSize;
    if (used > room) room = used;
    else room -= (room - used) / 8;
  }
};

}  // namespace qtforge::inline QTFORGE_ABI::detail
