#include <qtforge/plugin.hpp>

class Answer : public qtforge::IPlugin {
 public:
  qtforge::expected<void> initialize() override {
    auto& bus = qtforge::MessageBus::instance();
    auto questions = bus.subscribe("consume.question", [&bus](const boost::json::value& question) {
      bus.publish("consume.answer", boost::json::object{{"n", question.at("n").to_number<int>() + 1}});
    });
    if (!questions) return questions.error();
    questions_ = std::move(*questions);
    return {};
  }

 private:
  qtforge::Subscription questions_;
};

QTFORGE_PLUGIN(Answer);
