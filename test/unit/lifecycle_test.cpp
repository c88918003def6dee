// The state machine alone: every step in every state, failures, and steps that meet.

#include <qtforge/core/lifecycle.hpp>

#include <boost/test/unit_test.hpp>

#include <atomic>
#include <string>
#include <thread>
#include <vector>

using namespace qtforge;

namespace lifecycle {

using Step = LifecycleStep;
using Outcome = Lifecycle::Outcome;

// Carries out `step`; `failing` names the hook that fails. Returns the hooks that ran, or the error's code.
std::string go(Lifecycle& machine, Step step, std::string_view failing = {}) {
  if (auto begun = machine.begin(step); !begun) return std::string(detail::errcText(begun.error().code()));
  std::string hooks;
  while (const auto hook = machine.next()) {
    hooks += (hooks.empty() ? "" : " ") + std::string(toString(*hook));
    machine.done(*hook, toString(*hook) == failing ? Outcome::Failed : Outcome::Succeeded);
  }
  machine.finish();
  return hooks;
}

void reach(Lifecycle& machine, PluginState state) {
  if (state == PluginState::Loaded) return;
  go(machine, Step::Initialize, state == PluginState::Error ? "initialize" : "");
  if (state == PluginState::Active) go(machine, Step::Activate);
  if (state == PluginState::Unloaded) go(machine, Step::Unload);
  BOOST_REQUIRE((machine.state() == state));
}

}  // namespace lifecycle

BOOST_AUTO_TEST_SUITE(lifecycle)

BOOST_AUTO_TEST_CASE(every_step_from_every_state_calls_the_right_hooks_or_none) {
  const std::string illegal = "illegal transition", gone = "plugin unloaded";
  struct Row {
    PluginState from;
    std::string initialize, activate, deactivate, cleanup, unload, configure, reload;
  };
  const Row rows[] = {
      {PluginState::Loaded, "initialize", illegal, illegal, "", "", "", ""},
      {PluginState::Initialized, illegal, "activate", illegal, "cleanup", "cleanup", "", ""},
      {PluginState::Active, illegal, illegal, "deactivate", "deactivate cleanup", "deactivate cleanup", "", ""},
      {PluginState::Error, "cleanup initialize", illegal, illegal, "cleanup", "cleanup", "", ""},
      {PluginState::Unloaded, gone, gone, gone, gone, gone, gone, gone},
  };
  for (const auto& row : rows) {
    const std::pair<Step, std::string> steps[] = {{Step::Initialize, row.initialize}, {Step::Activate, row.activate},
                                                  {Step::Deactivate, row.deactivate}, {Step::Cleanup, row.cleanup},
                                                  {Step::Unload, row.unload}, {Step::Configure, row.configure},
                                                  {Step::Reload, row.reload}};
    for (const auto& [step, expected] : steps) {
      Lifecycle machine;
      reach(machine, row.from);
      BOOST_TEST_CONTEXT(toString(step) << " from " << toString(row.from)) {
        BOOST_TEST(go(machine, step) == expected);
        if (expected == illegal || expected == gone) BOOST_TEST((machine.state() == row.from));
      }
    }
  }
}

BOOST_AUTO_TEST_CASE(after_a_reload_the_state_is_that_of_the_plugin_that_is_there_now) {
  Lifecycle machine;
  reach(machine, PluginState::Error);
  machine.begin(Step::Reload).value();
  BOOST_TEST((machine.state() == PluginState::Error));
  machine.replaced(PluginState::Active);
  machine.finish();
  BOOST_TEST((machine.state() == PluginState::Active));
  machine.begin(Step::Reload).value();
  machine.replaced(PluginState::Loaded);
  machine.finish();
  BOOST_TEST(go(machine, Step::Unload) == "");  // it was never initialized
}

BOOST_AUTO_TEST_CASE(the_states_after_the_steps_are_those_of_the_table) {
  Lifecycle machine;
  BOOST_TEST((machine.state() == PluginState::Loaded));
  go(machine, Step::Initialize);
  BOOST_TEST((machine.state() == PluginState::Initialized));
  go(machine, Step::Activate);
  BOOST_TEST((machine.state() == PluginState::Active));
  go(machine, Step::Deactivate);
  BOOST_TEST((machine.state() == PluginState::Initialized));
  go(machine, Step::Cleanup);
  BOOST_TEST((machine.state() == PluginState::Loaded));
  go(machine, Step::Initialize);
  go(machine, Step::Activate);
  go(machine, Step::Cleanup);
  BOOST_TEST((machine.state() == PluginState::Loaded));
  go(machine, Step::Unload);
  BOOST_TEST((machine.state() == PluginState::Unloaded));
}

BOOST_AUTO_TEST_CASE(a_failed_initialize_leads_to_Error_and_can_be_tried_again) {
  Lifecycle machine;
  go(machine, Step::Initialize, "initialize");
  BOOST_TEST((machine.state() == PluginState::Error));
  BOOST_TEST(go(machine, Step::Initialize, "initialize") == "cleanup initialize");
  BOOST_TEST((machine.state() == PluginState::Error));
  BOOST_TEST(go(machine, Step::Cleanup) == "cleanup");
  BOOST_TEST((machine.state() == PluginState::Loaded));
  BOOST_TEST(go(machine, Step::Initialize) == "initialize");
  BOOST_TEST((machine.state() == PluginState::Initialized));
}

BOOST_AUTO_TEST_CASE(another_try_whose_cleanup_fails_calls_no_initialize_until_the_next) {
  Lifecycle machine;
  go(machine, Step::Initialize, "initialize");
  BOOST_TEST(go(machine, Step::Initialize, "cleanup") == "cleanup");
  BOOST_TEST((machine.state() == PluginState::Error));
  BOOST_TEST(go(machine, Step::Initialize) == "initialize");
  BOOST_TEST((machine.state() == PluginState::Initialized));
  BOOST_TEST(go(machine, Step::Unload) == "cleanup");
}

BOOST_AUTO_TEST_CASE(a_failed_deactivate_does_not_keep_cleanup_from_running) {
  Lifecycle machine;
  reach(machine, PluginState::Active);
  BOOST_TEST(go(machine, Step::Cleanup, "deactivate") == "deactivate cleanup");
  BOOST_TEST((machine.state() == PluginState::Loaded));
}

BOOST_AUTO_TEST_CASE(a_failed_cleanup_leads_to_Error_and_unload_does_not_call_it_again) {
  Lifecycle machine;
  reach(machine, PluginState::Initialized);
  BOOST_TEST(go(machine, Step::Cleanup, "cleanup") == "cleanup");
  BOOST_TEST((machine.state() == PluginState::Error));
  BOOST_TEST(go(machine, Step::Unload).empty());
  BOOST_TEST((machine.state() == PluginState::Unloaded));
}

BOOST_AUTO_TEST_CASE(a_failed_cleanup_can_be_asked_for_again) {
  Lifecycle machine;
  reach(machine, PluginState::Initialized);
  go(machine, Step::Cleanup, "cleanup");
  BOOST_TEST(go(machine, Step::Cleanup) == "cleanup");
  BOOST_TEST((machine.state() == PluginState::Loaded));
}

BOOST_AUTO_TEST_CASE(a_second_step_is_refused_and_told_which_one_runs) {
  Lifecycle machine;
  BOOST_REQUIRE(machine.begin(Step::Initialize));
  BOOST_TEST((machine.running() == Step::Initialize));
  for (const auto step : {Step::Initialize, Step::Activate, Step::Cleanup, Step::Unload}) {
    const auto second = machine.begin(step);
    BOOST_REQUIRE(!second);
    BOOST_TEST((second.error() == Errc::IllegalTransition));
    BOOST_TEST(second.error().message() == std::string(toString(step)) + ": not possible while initialize runs");
  }
  BOOST_TEST((machine.state() == PluginState::Loaded));  // the one before, while the hook runs
}

BOOST_AUTO_TEST_CASE(errors_name_the_state_and_what_to_do_first) {
  Lifecycle machine;
  BOOST_TEST(machine.begin(Step::Activate).error().message() ==
             "activate: not possible in state Loaded: initialize first");
  go(machine, Step::Initialize, "initialize");
  BOOST_TEST(machine.begin(Step::Activate).error().message() == "activate: not possible in state Error: initialize or clean up first");
}

BOOST_AUTO_TEST_CASE(of_many_threads_exactly_one_wins_each_step) {
  Lifecycle machine;
  for (int round = 0; round < 200; ++round) {
    std::atomic<int> won{0}, inside{0}, most{0};
    std::vector<std::thread> threads;
    for (int i = 0; i < 4; ++i)
      threads.emplace_back([&] {
        if (!machine.begin(round % 2 == 0 ? Step::Initialize : Step::Cleanup)) return;
        most = std::max(most.load(), ++inside);
        const bool works = machine.next().has_value();
        while (const auto hook = machine.next()) machine.done(*hook, Outcome::Succeeded);
        --inside;
        machine.finish();
        if (works) ++won;
      });
    for (auto& thread : threads) thread.join();
    BOOST_TEST(won == 1);
    BOOST_TEST(most == 1);
  }
}

BOOST_AUTO_TEST_SUITE_END()
