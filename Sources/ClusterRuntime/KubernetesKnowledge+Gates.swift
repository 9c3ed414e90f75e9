extension KubernetesKnowledge {
    /// Feature gates of Kubernetes' components, by name. All components share one list. Of a gate that is not here, the
    /// component decides.
    ///
    /// Sources: kubernetes.io's list of removed gates up to 1.29
    /// (command-line-tools-reference/feature-gates-removed), its pages of single gates, and Kubernetes' own list of
    /// versioned gates of 1.36 (kubernetes/kubernetes, test/compatibility_lifecycle/reference/feature_list.md). Some of
    /// Windows' and of cloud providers' gates are not here.
    static let gates: [String: Entry] = {
        func byName(_ groups: [Int: String]) -> [String: Int] {
            var minors: [String: Int] = [:]
            for (minor, gates) in groups {
                for name in gates.split(whereSeparator: \.isWhitespace) { minors[String(name)] = minor }
            }
            return minors
        }
        let (since, until) = (byName(added), byName(settled))
        var entries: [String: Entry] = [:]
        for name in Set(since.keys).union(until.keys) {
            entries[name] = Entry(name, since: since[name], until: until[name])
        }
        return entries
    }()

    /// What is new, by the first version that knows it. What 1.15 knows has no entry.
    ///
    /// Gates that patch releases of older versions got too (OrderedNamespaceDeletion,
    /// StatefulSetSemanticRevisionComparison) cannot be told by a minor version, and are not here.
    private static let added: [Int: String] = [
        16: """
        EnableAggregatedDiscoveryTimeout EndpointSlice EphemeralContainers EvenPodsSpread HPAScaleToZero
        LegacyNodeRoleBehavior NodeDisruptionExclusion PodOverhead RemoveSelfLink StartupProbe TopologyManager
        WindowsRunAsUserName
        """,
        17: """
        AllowInsecureBackendProxy CSIMigrationAWSComplete CSIMigrationAzureDiskComplete
        CSIMigrationAzureFileComplete CSIMigrationGCEComplete CSIMigrationOpenStackComplete ServiceTopology
        """,
        18: """
        APIPriorityAndFairness AnyVolumeDataSource CSIMigrationvSphere ConfigurableFSGroupPolicy
        EndpointSliceProxying ExternalPolicyForExternalIP HugePageStorageMediumSize ImmutableEphemeralVolumes
        SelectorIndex ServiceAccountIssuerDiscovery ServiceAppProtocol
        """,
        19: """
        CSIMigrationvSphereComplete CSIStorageCapacity CSIVolumeFSGroupPolicy DefaultPodTopologySpread
        DisableAcceleratorUsageMetrics GenericEphemeralVolume SetHostnameAsFQDN WarningHeaders
        WindowsEndpointSliceProxying
        """,
        20: """
        APIServerIdentity CSIServiceAccountToken CronJobControllerV2 DownwardAPIHugePages EfficientWatchResumption
        EndpointSliceNodeName EndpointSliceTerminatingCondition ExecProbeTimeout GracefulNodeShutdown
        HPAContainerMetrics KubeletCredentialProviders MixedProtocolLBService ServiceLBNodePortControl
        SizeMemoryBackedVolumes StorageVersionAPI
        """,
        21: """
        CSIVolumeHealth ControllerManagerLeaderMigration DaemonSetUpdateSurge InTreePluginAWSUnregister IndexedJob
        IngressClassNamespacedParams KubeletPodResourcesGetAllocatable LogarithmicScaleDown MemoryManager
        NamespaceDefaultLabelName NetworkPolicyEndPort PodAffinityNamespaceSelector PodDeletionCost
        PreferNominatedNode ProbeTerminationGracePeriod ServiceInternalTrafficPolicy ServiceLoadBalancerClass
        SuspendJob TopologyAwareHints VolumeCapacityPriority
        """,
        22: """
        APIServerTracing CPUManagerPolicyOptions CSRDuration DelegateFSGroupToCSIDriver DisableCloudProviders
        ExpandedDNSConfig JobTrackingWithFinalizers KubeletInUserNamespace MemoryQoS NodeSwap PodSecurity
        ProxyTerminatingEndpoints ReadWriteOncePod SeccompDefault StatefulSetMinReadySeconds
        WindowsHostProcessContainers
        """,
        23: """
        CPUManagerPolicyAlphaOptions CPUManagerPolicyBetaOptions CSIMigrationPortworx
        CustomResourceValidationExpressions DisableKubeletCloudCredentialProviders GRPCContainerProbe
        GracefulNodeShutdownBasedOnPodPriority HonorPVReclaimPolicy IdentifyPodOS InTreePluginPortworxUnregister
        JobMutableNodeSchedulingDirectives JobReadyPods OpenAPIEnums OpenAPIV3 PodAndContainerStatsFromCRI
        RecoverVolumeExpansionFailure ServerSideFieldValidation StatefulSetAutoDeletePVC
        """,
        24: """
        LoggingAlphaOptions LoggingBetaOptions
        CSIMigrationRBD ContextualLogging CronJobTimeZone LegacyServiceAccountTokenNoAutoGeneration
        MaxUnavailableStatefulSet MinDomainsInPodTopologySpread NetworkPolicyStatus NodeOutOfServiceVolumeDetach
        ServiceIPStaticSubrange
        """,
        25: """
        CSINodeExpandSecret ContainerCheckpoint IPTablesOwnershipCleanup JobPodFailurePolicy KMSv2 KubeletTracing
        MatchLabelKeysInPodTopologySpread MultiCIDRRangeAllocator NodeInclusionPolicyInPodTopologySpread
        PodDisruptionConditions PodHasNetworkCondition RetroactiveDefaultStorageClass SELinuxMountReadWriteOncePod
        UserNamespacesStatelessPodsSupport
        """,
        26: """
        APISelfSubjectReview AggregatedDiscoveryEndpoint ComponentSLIs CrossNamespaceVolumeDataSource
        DynamicResourceAllocation EventedPLEG LegacyServiceAccountTokenTracking MinimizeIPTablesRestore
        PDBUnhealthyPodEvictionPolicy PodSchedulingReadiness StatefulSetStartOrdinal
        TopologyManagerPolicyAlphaOptions TopologyManagerPolicyBetaOptions TopologyManagerPolicyOptions
        ValidatingAdmissionPolicy WindowsHostNetwork
        """,
        27: """
        AdmissionWebhookMatchConditions CloudControllerManagerWebhook CloudDualStackNodeIPs ClusterTrustBundle
        ElasticIndexedJob InPlacePodVerticalScaling KubeletPodResourcesDynamicResources KubeletPodResourcesGet
        MultiCIDRServiceAllocator NewVolumeManagerReconstruction NodeLogQuery SecurityContextDeny
        ServiceNodePortStaticSubrange StableLoadBalancerNodeSet WatchFromStorageWithoutResourceVersion WatchList
        """,
        28: """
        CRDValidationRatcheting ConsistentListFromCache CronJobsScheduledAnnotation DevicePluginCDIDevices
        JobBackoffLimitPerIndex JobPodReplacementPolicy KMSv1 KMSv2KDF KubeProxyDrainingTerminatingNodes
        KubeletCgroupDriverFromCRI LegacyServiceAccountTokenCleanUp PersistentVolumeLastPhaseTransitionTime
        PodHostIPs PodIndexLabel PodReadyToStartContainersCondition SchedulerQueueingHints SidecarContainers
        UnknownVersionInteroperabilityProxy UserNamespacesSupport
        """,
        29: """
        ClusterTrustBundleProjection DisableNodeKubeProxyVersion ImageMaximumGCAge KubeletSeparateDiskGC
        LoadBalancerIPMode MatchLabelKeysInPodAffinity NFTablesProxyMode PodLifecycleSleepAction
        RuntimeClassInImageCriApi SeparateTaintEvictionController ServiceAccountTokenJTI
        ServiceAccountTokenNodeBinding ServiceAccountTokenNodeBindingValidation ServiceAccountTokenPodNodeInfo
        StructuredAuthenticationConfiguration StructuredAuthorizationConfiguration
        TranslateStreamCloseWebsocketRequests UserNamespacesPodSecurityStandards VolumeAttributesClass
        ZeroLimitedNominalConcurrencyShares
        """,
        30: """
        APIServingWithRoutine AppArmorFields CustomResourceFieldSelectors InformerResourceVersion JobManagedBy
        JobSuccessPolicy PortForwardWebsockets RecursiveReadOnlyMounts RelaxedEnvironmentVariableValidation
        RetryGenerateName SELinuxMount ServiceTrafficDistribution StorageNamespaceIndex StorageVersionMigrator
        StrictCostEnforcementForVAP StrictCostEnforcementForWebhooks WatchListClient
        """,
        31: """
        AllowDNSOnlyNodeCSR AllowInsecureKubeletCertificateSigningRequests AnonymousAuthConfigurableEndpoints
        AuthorizeNodeWithSelectors AuthorizeWithSelectors ConcurrentWatchObjectDecode CoordinatedLeaderElection
        DisableAllocatorDualWrite ImageVolume ReloadKubeletServerCertificateFile ResilientWatchCacheInitialization
        ResourceHealthStatus SupplementalGroupsPolicy WatchCacheInitializationPostStartHook
        """,
        32: """
        AllowOverwriteTerminationGracePeriodSeconds AllowUnsafeMalformedObjectDeletion BtreeWatchCache
        CBORServingAndStorage ClientsAllowCBOR ClientsPreferCBOR ComponentFlagz ComponentStatusz DRAAdminAccess
        DRAResourceClaimDeviceStatus ExternalServiceAccountTokenSigner InPlacePodVerticalScalingAllocatedStatus
        InPlacePodVerticalScalingExclusiveCPUs KubeletCrashLoopBackOffMax KubeletFineGrainedAuthz
        KubeletRegistrationGetOnExistsOnly MutatingAdmissionPolicy PodLevelResources
        PodLifecycleSleepActionAllowZero PodLogsQuerySplitStreams RelaxedDNSSearchValidation RemoteRequestHeaderUID
        SELinuxChangePolicy SchedulerAsyncPreemption ServiceAccountNodeAudienceRestriction SystemdWatchdog
        WindowsCPUAndMemoryAffinity WindowsGracefulNodeShutdown
        """,
        33: """
        AggregatedDiscoveryRemoveBetaType AllowParsingUserUIDFromCertAuth ContainerStopSignals DRADeviceTaints
        DRAPartitionableDevices DRAPrioritizedList DeclarativeValidation DeclarativeValidationTakeover
        DeploymentReplicaSetTerminatingReplicas DisableCPUQuotaWithExclusiveCPUs GitRepoVolumeDriver
        HPAConfigurableTolerance InOrderInformers KubeletEnsureSecretPulledImages KubeletPSI
        KubeletServiceAccountTokenForCredentialProviders ListFromCacheSnapshot MutableCSINodeAllocatableCount
        PodObservedGenerationTracking PodTopologyLabelsAdmission PreferSameTrafficDistribution
        ReduceDefaultCrashLoopBackOffDecay SchedulerPopFromBackoffQ StorageCapacityScoring
        StreamingCollectionEncodingToJSON StreamingCollectionEncodingToProtobuf StrictIPCIDRValidation
        """,
        34: """
        ClearingNominatedNodeNameAfterBinding ContainerRestartRules DRAConsumableCapacity DRADeviceBindingConditions
        DRAExtendedResource DRASchedulerFilterTimeout DetectCacheInconsistency EnvFiles HostnameOverride
        InPlacePodVerticalScalingExclusiveMemory MatchLabelKeysInPodTopologySpreadSelectorMerge
        NominatedNodeNameForExpectation PodCertificateRequest PreventStaticPodAPIReferences
        RelaxedServiceNameValidation SchedulerAsyncAPICalls SizeBasedListCostEstimate
        StructuredAuthenticationConfigurationEgressSelector TokenRequestServiceAccountUIDValidation
        """,
        35: """
        AuthorizePodWebsocketUpgradeCreatePermission CRDObservedGenerationTracking CSIServiceAccountTokenSecrets
        ChangeContainerStatusOnKubeletRestart CloudControllerManagerWatchBasedRoutesReconciliation
        ConstrainedImpersonation DRADeviceTaintRules GangScheduling GenericWorkload ImageVolumeWithDigest
        InOrderInformersBatchProcess InPlacePodLevelResourcesVerticalScaling MutablePVNodeAffinity
        MutablePodResourcesForSuspendedJobs MutableSchedulingDirectivesForSuspendedJobs NodeDeclaredFeatures
        OpportunisticBatching RestartAllContainersOnContainerExits StructuredAuthenticationConfigurationJWKSMetrics
        TaintTolerationComparisonOperators UserNamespacesHostNetworkSupport VolumeLimitScaling
        """,
        36: """
        AtomicFIFO ResourceHealthStatusMessage UnlockWhileProcessingFIFO
        """,
    ]

    /// What there is no choice in any more, by the first version without one: the gate is gone, or it is on and locked
    /// and about to go.
    ///
    /// One version too early does no harm, one too late stops the component. The sources disagree by one version about
    /// some: kubernetes.io has WarningHeaders until 1.24 and ConfigurableFSGroupPolicy until 1.25, while CHANGELOG-1.24
    /// and -1.25 say that these versions do not know them. So the gate of a generally available feature counts as
    /// settled from the last version that is said to know it, or from the one after it became generally available; a
    /// deprecated one likewise.
    ///
    /// Confirmed by CHANGELOGs: 1.21 (#97148, #98243, #97141), 1.24 (#106830, #106932), 1.25 (IPv6DualStack,
    /// TTLAfterFinished, EndpointSlice and others that were available by 1.23), 1.26 (#112386, #112567, #112589).
    /// By one list only, and so with no second word on the version: the rest.
    private static let settled: [Int: String] = [
        16: """
        CSIPersistentVolume CustomPodDNS ExperimentalCriticalPodAnnotation GCERegionalPersistentDisk HugePages
        KubeletPluginsWatcher PersistentLocalVolumes PodReadinessGates VolumeScheduling
        """,
        17: """
        EnableAggregatedDiscoveryTimeout MountContainers RequestManagement
        """,
        18: """
        CustomResourceDefaulting CustomResourcePublishOpenAPI CustomResourceSubresources CustomResourceValidation
        CustomResourceWebhookConversion PodPriority ResourceQuotaScopeSelectors ScheduleDaemonSetPods
        TaintNodesByCondition WatchBookmark
        """,
        19: """
        DynamicAuditing PodShareProcessNamespace ResourceLimitsPriorityFunction
        """,
        20: """
        ServiceLoadBalancerFinalizer SupportIPVSProxyMode TaintBasedEvictions WindowsGMSA WindowsRunAsUserName
        """,
        21: """
        AttachVolumeLimit BlockVolume CSIBlockVolume CSIDriverRegistry CSIMigrationAWSComplete
        CSIMigrationAzureDiskComplete CSIMigrationAzureFileComplete CSIMigrationGCEComplete
        CSIMigrationOpenStackComplete EvenPodsSpread HyperVContainer RotateKubeletClientCertificate TokenRequest
        TokenRequestProjection VolumePVCDataSource
        """,
        22: """
        BalanceAttachedNodeVolumes CRIContainerLogRotation CSIMigrationvSphereComplete CSINodeInfo
        ExternalPolicyForExternalIP LegacyNodeRoleBehavior NodeDisruptionExclusion RootCAConfigMap RunAsGroup
        SCTPSupport ServiceAppProtocol ServiceNodeExclusion ServiceTopology Sysctls VolumeSnapshotDataSource
        """,
        23: """
        BoundServiceAccountTokenVolume CronJobControllerV2 NamespaceDefaultLabelName NodeLease ServerSideApply
        ServiceAccountIssuerDiscovery StartupProbe SupportNodePidsLimit SupportPodPidsLimit
        """,
        24: """
        CSIServiceAccountToken DynamicKubeletConfig EndpointSlice EndpointSliceNodeName EndpointSliceProxying
        GenericEphemeralVolume HugePageStorageMediumSize IPv6DualStack ImmutableEphemeralVolumes
        IngressClassNamespacedParams RuntimeClass SetHostnameAsFQDN StorageObjectInUseProtection
        StreamingProxyRedirects TTLAfterFinished ValidateProxyRedirects VolumeSubpath VolumeSubpathEnvExpansion
        WarningHeaders WindowsEndpointSliceProxying
        """,
        25: """
        AllowInsecureBackendProxy CSIMigrationOpenStack CSIVolumeFSGroupPolicy CSRDuration ConfigurableFSGroupPolicy
        DefaultPodTopologySpread EfficientWatchResumption IndexedJob NonPreemptingPriority
        PodAffinityNamespaceSelector PodDisruptionBudget PodOverhead PreferNominatedNode RemoveSelfLink
        SelectorIndex ServiceLBNodePortControl ServiceLoadBalancerClass SuspendJob
        """,
        26: """
        CSIInlineVolume CSIMigration CSIMigrationAWS CSIMigrationAzureDisk ControllerManagerLeaderMigration
        DaemonSetUpdateSurge EphemeralContainers ExpandCSIVolumes ExpandInUsePersistentVolumes
        ExpandPersistentVolumes IdentifyPodOS LocalStorageCapacityIsolation NetworkPolicyEndPort
        StatefulSetMinReadySeconds
        """,
        27: """
        AdvancedAuditing CPUManager CSIMigrationAzureFile CSIMigrationGCE CSIStorageCapacity
        DelegateFSGroupToCSIDriver DevicePlugins DisableAcceleratorUsageMetrics DryRun
        EndpointSliceTerminatingCondition MixedProtocolLBService PodSecurity ServiceIPStaticSubrange
        ServiceInternalTrafficPolicy WindowsHostProcessContainers
        """,
        28: """
        CSIMigrationvSphere CronJobTimeZone DownwardAPIHugePages GRPCContainerProbe
        JobMutableNodeSchedulingDirectives JobTrackingWithFinalizers KubeletCredentialProviders
        LegacyServiceAccountTokenNoAutoGeneration NetworkPolicyStatus OpenAPIV3 PodHasNetworkCondition
        SeccompDefault ServerSideFieldValidation TopologyManager UserNamespacesStatelessPodsSupport
        """,
        29: """
        APISelfSubjectReview ExpandedDNSConfig IPTablesOwnershipCleanup KubeletPodResources
        KubeletPodResourcesGetAllocatable LegacyServiceAccountTokenTracking MinimizeIPTablesRestore
        MultiCIDRRangeAllocator NodeOutOfServiceVolumeDetach ProbeTerminationGracePeriod ProxyTerminatingEndpoints
        RetroactiveDefaultStorageClass
        """,
        30: """
        APIListChunking APIPriorityAndFairness CSINodeExpandSecret CustomResourceValidationExpressions
        ExperimentalHostUserNamespaceDefaulting JobReadyPods KMSv2 KMSv2KDF ReadWriteOncePod RemainingItemCount
        SecurityContextDeny ServiceNodePortStaticSubrange
        """,
        31: """
        AdmissionWebhookMatchConditions AggregatedDiscoveryEndpoint CSIMigrationRBD CloudDualStackNodeIPs
        HPAContainerMetrics InTreePluginAWSUnregister LegacyServiceAccountTokenCleanUp MinDomainsInPodTopologySpread
        NewVolumeManagerReconstruction PodHostIPs StableLoadBalancerNodeSet ValidatingAdmissionPolicy
        ZeroLimitedNominalConcurrencyShares
        """,
        32: """
        AppArmor AppArmorFields DevicePluginCDIDevices DisableCloudProviders DisableKubeletCloudCredentialProviders
        ElasticIndexedJob JobPodFailurePolicy KubeProxyDrainingTerminatingNodes PDBUnhealthyPodEvictionPolicy
        PersistentVolumeLastPhaseTransitionTime PodDisruptionConditions StatefulSetStartOrdinal
        """,
        33: """
        ComponentSLIs CronJobsScheduledAnnotation LoadBalancerIPMode MemoryManager PodIndexLabel
        SizeMemoryBackedVolumes StatefulSetAutoDeletePVC StrictCostEnforcementForVAP
        StrictCostEnforcementForWebhooks StructuredAuthorizationConfiguration VolumeCapacityPriority
        WatchFromStorageWithoutResourceVersion
        """,
        34: """
        CSIMigrationPortworx ServiceTrafficDistribution TopologyAwareHints
        """,
        35: """
        UserNamespacesPodSecurityStandards
        """,
    ]
}
