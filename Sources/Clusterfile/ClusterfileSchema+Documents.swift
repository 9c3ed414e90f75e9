extension ClusterfileSchema {
    /// The document of kind Config.
    static let config = Document(
        kind: "Config",
        apiVersions: ["sealer.io/v1", "sealer.io/v2"],
        olderVersions: olderVersions,
        meaning: "A change to a file of the rootfs.",
        fields: header("Config", ["sealer.io/v1", "sealer.io/v2"]) + [
            metadata("The document's name, one that no other Config has.", pattern: namePattern),
            Field(
                "spec",
                .mapping([
                    Field(
                        "path", .text(), "The file's path in the rootfs, relative and without .. in it.",
                        example: "charts/mysql/values.yaml", since: "0.5", isRequired: true),
                    Field(
                        "strategy", .choice(ConfigOverlay.Strategy.allCases.map(\.rawValue)),
                        "overwrite: data becomes the file. merge: the keys of data, which is YAML, are laid over"
                            + " the file's.",
                        standard: "overwrite", since: "0.8"),
                    Field("data", .text(), "What is written or merged.", since: "0.5", isRequired: true),
                    .refused("process"),
                    .refused("appName"),
                ]),
                "The change.", isRequired: true),
            status,
        ]
    )

    /// The document of kind Plugin.
    static let plugin = Document(
        kind: "Plugin",
        apiVersions: ["sealer.io/v1", "sealer.io/v2"],
        olderVersions: olderVersions,
        meaning: "Extra work at named phases.",
        fields: header("Plugin", ["sealer.io/v1", "sealer.io/v2"]) + [
            metadata(
                "The document's name, one that no other Plugin has. Plugins of a phase run in its order.",
                pattern: namePattern),
            Field(
                "spec",
                .mapping([
                    Field(
                        "type", .choice(Plugin.Kind.allCases.map(\.rawValue)),
                        "SHELL runs a script. LABEL, TAINT and HOSTNAME set what their name says.", since: "0.5",
                        isRequired: true),
                    Field(
                        "action", .text(),
                        "The phase, or several with | between them:"
                            + " \(Plugin.Phase.allCases.map(\.rawValue).joined(separator: ", "));"
                            + " names of sealer 0.5 to 0.8 are read, too.",
                        example: "pre-init-host|post-join", since: "0.5", isRequired: true),
                    Field(
                        "scope", .text(),
                        "The hosts: roles, labels as disk=ssd, addresses, ranges, master0 (the first master) and all, with |"
                            + " between them.",
                        standard:
                            "the master that the cluster is changed through at phases of the cluster, every host at"
                            + " phases of hosts",
                        example: "master|192.168.0.7", since: "0.11", olderNames: ["on"]),
                    Field(
                        "data", .text(),
                        "The script, or for other types lines of an address and KEY=VALUE,… (LABEL), KEY=VALUE:EFFECT,…"
                            + " (TAINT; - at the end takes it away) or a name (HOSTNAME).",
                        example: "swapoff -a", since: "0.5", isRequired: true),
                    Field(
                        "timeout", .number(Cluster.pluginSeconds),
                        "The most time that it may take on one host, in seconds.",
                        standard: "\(Plugin.defaultTimeout)", since: "ours"),
                ]),
                "The work.", isRequired: true),
            status,
        ]
    )

    /// The document of kind Application.
    static let application = Document(
        kind: "Application",
        apiVersions: apiVersions,
        olderVersions: olderVersions,
        meaning: "What is launched: another place for spec.appNames and spec.cmd of the Cluster.",
        fields: header("Application", apiVersions) + [
            metadata("The document's name.", pattern: namePattern),
            Field(
                "spec",
                .mapping([
                    Field("launchApps", .list(.text()), "As appNames of the Cluster.", since: "0.11"),
                    Field("cmds", .list(.text()), "As cmd of the Cluster.", since: "0.11"),
                    .refused("configs"),
                ]),
                "What is launched.", isRequired: true),
            status,
        ]
    )

    /// The documents of kubeadm, kubelet and kube-proxy; their fields are checked by those programs.
    static let kubeadm: [Document] = KubeadmDocument.Kind.allCases.map { kind in
        Document(
            kind: kind.rawValue,
            apiVersions: kind.apiVersions,
            meaning: "Laid over what the image and sealer say; what is there counts as set, false and 0 too.",
            fields: header(kind.rawValue, kind.apiVersions),
            isOpen: true
        )
    }
}
