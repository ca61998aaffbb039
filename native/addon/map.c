#include "addon.h"
void register_map(napi_env env, napi_value exports) { (void)env; (void)exports; }
