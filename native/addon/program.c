#include "addon.h"
void register_program(napi_env env, napi_value exports) { (void)env; (void)exports; }
