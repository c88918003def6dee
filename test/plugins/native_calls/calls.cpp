// Calls Python in the host's interpreter, with values of types that only this plugin knows. It is built without Python.h.

#include <qtforge/plugin.hpp>
#include <qtforge/python/async_call.hpp>

#include <boost/describe/class.hpp>

#include <optional>

namespace {

struct Room {
  std::string name;
  std::optional<double> celsius;
};
BOOST_DESCRIBE_STRUCT(Room, (), (name, celsius))

struct Ticket {
  int number = 0;
};

}  // namespace

template <>
struct qtforge::python::PythonConversion<Ticket> {
  static std::string toPython(const Ticket& ticket) { return "#" + std::to_string(ticket.number); }
  static qtforge::expected<Ticket> fromPython(const std::string& text) {
    if (text.empty() || text[0] != '#') return qtforge::Error("a ticket begins with #");
    return Ticket{std::stoi(text.substr(1))};
  }
};

class CallsPlugin : public qtforge::IPlugin {
 public:
  qtforge::expected<void> initialize() override {
    using qtforge::python::arg;
    auto& bus = qtforge::MessageBus::instance();
    python_.emplace();
    if (auto done = python_->execute("def same(x): return x\ndef scaled(x, *, by): return x * by\n"); !done) return done;
    const std::vector<Room> house{{"hall", 16.5}, {"attic", {}}};
    const auto rooms = python_->callFunction<std::vector<Room>>("same", house);
    if (!rooms) return rooms.error();
    const auto ticket = python_->callFunction<Ticket>("same", Ticket{7});
    if (!ticket) return ticket.error();
    const auto refused = python_->evaluate<std::vector<Ticket>>("['#1', '2']");
    const auto scaled = python_->callFunction<double>("scaled", 1.5, arg("by") = 2);
    const qtforge::BinaryMessage sent{{{1, 2, 3}}, "a/b", "", {}};
    const auto bytes = python_->callFunction<qtforge::BinaryMessage>("same", sent);
    if (!scaled || !bytes) return qtforge::Error("scaled or bytes");
    const auto half = python_->function<double(double)>("same");
    if (!half) return half.error();
    bus.publish("native_calls.out", boost::json::object{{"rooms", rooms->size()},
                                                        {"room", rooms->at(0).name},
                                                        {"cold", !rooms->at(1).celsius},
                                                        {"ticket", ticket->number},
                                                        {"refused", refused.error().message()},
                                                        {"scaled", *scaled},
                                                        {"bytes", bytes->data.size()},
                                                        {"half", (*half)(0.5).value()}});
    python_->asyncCall<Ticket>("same", [](const qtforge::expected<Ticket>& got) {
      qtforge::MessageBus::instance().publish("native_calls.async", got ? got->number : -1);
    }, Ticket{9});
    // Handlers of this plugin that wait when it is unloaded.
    for (int i = 0; i < 50; ++i) python_->asyncCall<int>("same", [](const qtforge::expected<int>&) {}, i);
    return {};
  }

 private:
  std::optional<qtforge::python::PythonExecutor> python_;
};

QTFORGE_PLUGIN(CallsPlugin);
