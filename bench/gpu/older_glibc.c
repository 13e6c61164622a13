// The C++ library, linked statically where glibc is 2.36 or later, asks for arc4random in std::random_device. With this
// one the programs of the kit also start where glibc is 2.35 (Ubuntu 22.04).
#include <stdint.h>
#include <unistd.h>

uint32_t arc4random(void) {
  uint32_t number = 0;
  while (getentropy(&number, sizeof number) != 0) {
  }
  return number;
}
