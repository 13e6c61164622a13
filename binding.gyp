{
  "targets": [
    {
      "target_name": "embedcore",
      "type": "none",
      "actions": [
        {
          "action_name": "cmake",
          "inputs": ["CMakeLists.txt"],
          "outputs": ["<(module_root_dir)/build/Release/embedcore.node"],
          "action": ["node", "<(module_root_dir)/scripts/build-native.cjs"]
        }
      ]
    }
  ]
}
