import YAML

extension YAMLMapping {
    /// These fields with others laid over: mappings are merged field by field, everything else is replaced, null takes a
    /// field out.
    func merged(with over: YAMLMapping) -> YAMLMapping {
        var result = self
        for entry in over {
            if entry.value.isNull {
                result[entry.key] = nil
            } else if let upper = entry.value.mapping {
                let lower = result[entry.key]?.mapping ?? [:]
                result[entry.key] = YAMLNode(lower.merged(with: upper))
            } else {
                result[entry.key] = entry.value
            }
        }
        return result
    }

    /// The value at the end of a way through mappings. Setting makes what is missing on the way, unless nil is set.
    subscript(path path: some Collection<String>) -> YAMLNode? {
        get {
            guard let key = path.first else { return nil }
            let rest = path.dropFirst()
            return rest.isEmpty ? self[key] : self[key]?.mapping?[path: rest]
        }
        set {
            guard let key = path.first else { return }
            let rest = path.dropFirst()
            if rest.isEmpty {
                self[key] = newValue
            } else if var inner = self[key]?.mapping ?? (newValue == nil ? nil : [:]) {
                inner[path: rest] = newValue
                self[key] = YAMLNode(inner)
            }
        }
    }
}
