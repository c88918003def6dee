#pragma once
// Hosts that tests run in processes of their own: `hosts NAME ARGUMENTS...`. One program, since most of the time to compile
// one goes to what they all include; in each function argv[0] is NAME. They return what the process exits with.

namespace hosts {

int config(int argc, char** argv);
int exits(int argc, char** argv);
int hostile(int argc, char** argv);
int limits(int argc, char** argv);
int noMemory(int argc, char** argv);
int packages(int argc, char** argv);
int soak(int argc, char** argv);

}  // namespace hosts
