// table: draws what is published on system.*, analysis.* and alert.*: in place in a terminal, else as plain lines.

#include "view.hpp"

#include <qtforge/plugin.hpp>

#include <sys/ioctl.h>
#include <unistd.h>

#include <atomic>
#include <cstdio>
#include <mutex>
#include <optional>
#include <utility>

namespace {

constexpr auto redrawInterval = std::chrono::milliseconds(250);
constexpr auto lineInterval = std::chrono::seconds(1);
constexpr std::size_t alertsShown = 5;

void write(const std::string& text) {
  std::fwrite(text.data(), 1, text.size(), stdout);
  std::fflush(stdout);
}

/// The terminal's second screen without a cursor, as long as the object lives (escape sequences: man console_codes).
class Screen {
 public:
  Screen() { write("\x1b[?1049h\x1b[?25l"); }
  ~Screen() { write("\x1b[?25h\x1b[?1049l"); }
  Screen(const Screen&) = delete;
  Screen& operator=(const Screen&) = delete;

  static void draw(const std::vector<monitor::Line>& lines) {
    winsize size{};
    if (::ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) != 0 || size.ws_col == 0) size = {24, 80, 0, 0};
    std::string out = "\x1b[H";
    for (std::size_t i = 0; i < lines.size() && i + 1 < size.ws_row; ++i) {
      const auto text = lines[i].text.substr(0, size.ws_col);
      out += (lines[i].loud ? "\x1b[1;31m" + text + "\x1b[0m" : text) + "\x1b[K\n";
    }
    write(out + "\x1b[J");
  }
};

class Table : public qtforge::IPlugin {
 public:
  qtforge::expected<void> initialize() override {
    // Only the newest messages are shown: an old one that finds the mailbox full may go.
    const qtforge::SubscribeOptions newestOnly{.capacity = 1000, .policy = qtforge::OverflowPolicy::DropOldest};
    for (const char* pattern : {"system.>", "analysis.>", "alert.>"})
      if (auto done = subscribe(pattern, &Table::take, newestOnly); !done) return done;
    // Direct: heard before its publish returns.
    return subscribe("monitor.start", &Table::prepare, {.delivery = qtforge::DeliveryMode::Direct});
  }

  qtforge::expected<void> activate() override {
    const bool lines = plain_ || ::isatty(STDOUT_FILENO) != 1;
    if (lines) startLines();
    else screen_.emplace();
    auto timer = lines ? qtforge::Timer::every(lineInterval, [this] { writeLine(); })
                        : qtforge::Timer::every(redrawInterval, [this] { Screen::draw(monitor::frame(snapshot())); });
    if (!timer) return timer.error();
    timer_ = std::move(*timer);
    return {};
  }

  qtforge::expected<void> deactivate() override {
    timer_.stop();
    stopLines();
    if (screen_) {
      screen_.reset();
      for (const auto& line : monitor::frame(snapshot())) write(line.text + "\n");  // the last picture stays
    }
    return {};
  }

 private:
  /// How the host wants the output, said once before it activates.
  void prepare(const boost::json::value& wish) {
    const auto* plain = monitor::find(&wish, "/plain");
    plain_ = plain && plain->is_bool() && plain->get_bool();
  }

  void take(const qtforge::Message& message) {
    const std::lock_guard lock(mutex_);
    if (!message.topic().starts_with("alert.")) {
      shown_.latest.insert_or_assign(std::string(message.topic()), message);
      return;
    }
    const auto source = monitor::word(message.json(), "/source");
    if (message.topic() == "alert.raised") shown_.raised.insert(source);
    if (message.topic() == "alert.cleared") shown_.raised.erase(source);
    shown_.alerts.push_back(monitor::alertText(message));
    if (shown_.alerts.size() > alertsShown) shown_.alerts.pop_front();
    ++unwritten_;
    if (lines_) writeAlerts();
  }

  void startLines() {
    const std::lock_guard lock(mutex_);
    lines_ = true;
    writeAlerts();
  }

  void stopLines() {
    const std::lock_guard lock(mutex_);
    lines_ = false;
  }

  // Those that came since the last were written, as far as they are kept.
  void writeAlerts() {
    const auto count = std::min(std::exchange(unwritten_, 0), shown_.alerts.size());
    for (auto at = shown_.alerts.size() - count; at < shown_.alerts.size(); ++at) write(shown_.alerts[at] + "\n");
  }

  monitor::Snapshot snapshot() {
    const std::lock_guard lock(mutex_);
    return shown_;
  }

  void writeLine() {
    const auto shown = snapshot();
    if (!shown.latest.empty()) write(monitor::plainLine(shown) + "\n");
  }

  std::atomic<bool> plain_ = false;  // the host wants lines whatever stdout is
  std::optional<Screen> screen_;     // while active in a terminal

  std::mutex mutex_;  // guards the next three
  monitor::Snapshot shown_;
  bool lines_ = false;  // lines are being written
  std::size_t unwritten_ = 0;  // alerts since then

  qtforge::Timer timer_;  // last: its end waits for a call that uses the rest
};

}  // namespace

QTFORGE_PLUGIN(Table);
