// A shared object that is no plugin: QTFORGE_PLUGIN is missing.

int plainAnswer();
int plainAnswer() { return 42; }
