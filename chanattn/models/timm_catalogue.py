"""timm's models with channel attention: facts on timm 1.0.31, by the file of timm/models that defines them.

Counted are the models, of all that `timm.list_models()` names, that hold at least one module of the classes
SqueezeExcite, SEModule, EffectiveSEModule, EseModule, EcaModule, GlobalContext, SelectiveKernel, SplitAttn,
BatNonLocalAttn or GlobalResponseNorm: 406 models in 30 files, 314 of them with published weights. A "-" marks
those without. Which of them are here, `chanattn.models.timm_names` tells.
"""

_FILES = {
    "byoanet": """
        eca_botnext26ts_256 eca_halonext26ts haloregnetz_b sebotnet33ts_256 sehalonet33ts
    """,
    "byobnet": """
        bat_resnext26ts eca_resnet33ts eca_resnext26ts gcresnet33ts gcresnet50t gcresnext26ts
        gcresnext50ts mobileone_s4 regnetz_b16 regnetz_b16_evos- regnetz_c16 regnetz_c16_evos regnetz_d8
        regnetz_d8_evos regnetz_d32 regnetz_e8 repvgg_d2se seresnet33ts seresnext26ts test_byobnet
    """,
    "convnext": """
        convnextv2_atto convnextv2_base convnextv2_femto convnextv2_huge convnextv2_large
        convnextv2_nano convnextv2_pico convnextv2_small- convnextv2_tiny
    """,
    "csatv2": """
        csatv2 csatv2_21m
    """,
    "cspnet": """
        cs3se_edgenet_x cs3sedarknet_l cs3sedarknet_x cs3sedarknet_xdw- sedarknet21-
    """,
    "cspnext": """
        cspnext_l cspnext_m cspnext_s cspnext_tiny cspnext_x
    """,
    "efficientnet": """
        efficientnet_b0 efficientnet_b0_g8_gn- efficientnet_b0_g16_evos- efficientnet_b0_gn-
        efficientnet_b1 efficientnet_b1_pruned efficientnet_b2 efficientnet_b2_pruned efficientnet_b3
        efficientnet_b3_g8_gn- efficientnet_b3_gn- efficientnet_b3_pruned efficientnet_b4
        efficientnet_b5 efficientnet_b6- efficientnet_b7- efficientnet_b8- efficientnet_blur_b0-
        efficientnet_cc_b0_4e- efficientnet_cc_b0_8e- efficientnet_cc_b1_8e- efficientnet_h_b5
        efficientnet_l2- efficientnet_x_b3- efficientnet_x_b5 efficientnetv2_l- efficientnetv2_m-
        efficientnetv2_rw_m efficientnetv2_rw_s efficientnetv2_rw_t efficientnetv2_s- efficientnetv2_xl-
        gc_efficientnetv2_rw_t mixnet_l mixnet_m mixnet_s mixnet_xl mixnet_xxl- mnasnet_small
        semnasnet_050- semnasnet_075 semnasnet_100 semnasnet_140- test_efficientnet
        test_efficientnet_evos test_efficientnet_gn test_efficientnet_ln tf_efficientnet_b0
        tf_efficientnet_b1 tf_efficientnet_b2 tf_efficientnet_b3 tf_efficientnet_b4 tf_efficientnet_b5
        tf_efficientnet_b6 tf_efficientnet_b7 tf_efficientnet_b8 tf_efficientnet_cc_b0_4e
        tf_efficientnet_cc_b0_8e tf_efficientnet_cc_b1_8e tf_efficientnet_l2 tf_efficientnetv2_b0
        tf_efficientnetv2_b1 tf_efficientnetv2_b2 tf_efficientnetv2_b3 tf_efficientnetv2_l
        tf_efficientnetv2_m tf_efficientnetv2_s tf_efficientnetv2_xl tf_mixnet_l tf_mixnet_m tf_mixnet_s
        tinynet_a tinynet_b tinynet_c tinynet_d tinynet_e
    """,
    "efficientvim": """
        efficientvim_m1 efficientvim_m1_dist efficientvim_m2 efficientvim_m2_dist efficientvim_m3
        efficientvim_m3_dist efficientvim_m4 efficientvim_m4_dist
    """,
    "efficientvit_msra": """
        efficientvit_m0 efficientvit_m1 efficientvit_m2 efficientvit_m3 efficientvit_m4 efficientvit_m5
    """,
    "fastvit": """
        fastvit_ma36 fastvit_mci0 fastvit_mci1 fastvit_mci2 fastvit_mci3 fastvit_mci4 fastvit_s12
        fastvit_sa12 fastvit_sa24 fastvit_sa36 fastvit_t8 fastvit_t12
    """,
    "gcvit": """
        gcvit_base gcvit_small gcvit_tiny gcvit_xtiny gcvit_xxtiny
    """,
    "ghostnet": """
        ghostnet_050- ghostnet_100 ghostnet_130- ghostnetv2_100 ghostnetv2_130 ghostnetv2_160
        ghostnetv3_050- ghostnetv3_100 ghostnetv3_130- ghostnetv3_160-
    """,
    "hardcorenas": """
        hardcorenas_a hardcorenas_b hardcorenas_c hardcorenas_d hardcorenas_e hardcorenas_f
    """,
    "hgnet": """
        hgnet_base hgnet_small hgnet_tiny
    """,
    "lcnetv2": """
        lcnetv2_base lcnetv2_large lcnetv2_small
    """,
    "maxxvit": """
        coatnet_0_224- coatnet_0_rw_224 coatnet_1_224- coatnet_1_rw_224 coatnet_2_224- coatnet_2_rw_224
        coatnet_3_224- coatnet_3_rw_224 coatnet_4_224- coatnet_5_224- coatnet_bn_0_rw_224
        coatnet_nano_cc_224- coatnet_nano_rw_224 coatnet_pico_rw_224- coatnet_rmlp_0_rw_224-
        coatnet_rmlp_1_rw2_224 coatnet_rmlp_1_rw_224 coatnet_rmlp_2_rw_224 coatnet_rmlp_2_rw_384
        coatnet_rmlp_3_rw_224- coatnet_rmlp_nano_rw_224 maxvit_base_tf_224 maxvit_base_tf_384
        maxvit_base_tf_512 maxvit_large_tf_224 maxvit_large_tf_384 maxvit_large_tf_512
        maxvit_nano_rw_256 maxvit_pico_rw_256- maxvit_rmlp_base_rw_224 maxvit_rmlp_base_rw_384
        maxvit_rmlp_nano_rw_256 maxvit_rmlp_pico_rw_256 maxvit_rmlp_small_rw_224
        maxvit_rmlp_small_rw_256- maxvit_rmlp_tiny_rw_256 maxvit_small_tf_224 maxvit_small_tf_384
        maxvit_small_tf_512 maxvit_tiny_pm_256- maxvit_tiny_rw_224 maxvit_tiny_rw_256-
        maxvit_tiny_tf_224 maxvit_tiny_tf_384 maxvit_tiny_tf_512 maxvit_xlarge_tf_224
        maxvit_xlarge_tf_384 maxvit_xlarge_tf_512 test_coatnet- test_maxvit-
    """,
    "mobilenetv3": """
        fbnetv3_b fbnetv3_d fbnetv3_g lcnet_035- lcnet_050 lcnet_075 lcnet_100 lcnet_150-
        mobilenetv3_large_075- mobilenetv3_large_100 mobilenetv3_large_150d mobilenetv3_rw
        mobilenetv3_small_050 mobilenetv3_small_075 mobilenetv3_small_100 tf_mobilenetv3_large_075
        tf_mobilenetv3_large_100 tf_mobilenetv3_small_075 tf_mobilenetv3_small_100
    """,
    "nfnet": """
        dm_nfnet_f0 dm_nfnet_f1 dm_nfnet_f2 dm_nfnet_f3 dm_nfnet_f4 dm_nfnet_f5 dm_nfnet_f6 eca_nfnet_l0
        eca_nfnet_l1 eca_nfnet_l2 eca_nfnet_l3- nf_ecaresnet26- nf_ecaresnet50- nf_ecaresnet101-
        nf_regnet_b0- nf_regnet_b1 nf_regnet_b2- nf_regnet_b3- nf_regnet_b4- nf_regnet_b5-
        nf_seresnet26- nf_seresnet50- nf_seresnet101- nfnet_f0- nfnet_f1- nfnet_f2- nfnet_f3- nfnet_f4-
        nfnet_f5- nfnet_f6- nfnet_f7- nfnet_l0 test_nfnet
    """,
    "rdnet": """
        rdnet_base rdnet_large rdnet_small rdnet_tiny
    """,
    "regnet": """
        regnetv_040 regnetv_064 regnety_002 regnety_004 regnety_006 regnety_008 regnety_008_tv
        regnety_016 regnety_032 regnety_040 regnety_040_sgn- regnety_064 regnety_080 regnety_080_tv
        regnety_120 regnety_160 regnety_320 regnety_640 regnety_1280 regnety_2560 regnetz_005-
        regnetz_040 regnetz_040_h
    """,
    "repghost": """
        repghostnet_050 repghostnet_058 repghostnet_080 repghostnet_100 repghostnet_111 repghostnet_130
        repghostnet_150 repghostnet_200
    """,
    "repvit": """
        repvit_m0_9 repvit_m1 repvit_m1_0 repvit_m1_1 repvit_m1_5 repvit_m2 repvit_m2_3 repvit_m3
    """,
    "resnest": """
        resnest14d resnest26d resnest50d resnest50d_1s4x24d resnest50d_4s2x40d resnest101e resnest200e
        resnest269e
    """,
    "resnet": """
        ecaresnet26t ecaresnet50d ecaresnet50d_pruned ecaresnet50t ecaresnet101d ecaresnet101d_pruned
        ecaresnet200d- ecaresnet269d ecaresnetlight ecaresnext26t_32x4d- ecaresnext50t_32x4d- resnetrs50
        resnetrs101 resnetrs152 resnetrs200 resnetrs270 resnetrs350 resnetrs420 senet154 seresnet18-
        seresnet34- seresnet50 seresnet50t- seresnet101- seresnet152- seresnet152d seresnet200d-
        seresnet269d- seresnetaa50d- seresnext26d_32x4d seresnext26t_32x4d seresnext50_32x4d
        seresnext101_32x4d seresnext101_32x8d seresnext101_64x4d seresnext101d_32x8d
        seresnextaa101d_32x8d seresnextaa201d_32x8d
    """,
    "rexnet": """
        rexnet_100 rexnet_130 rexnet_150 rexnet_200 rexnet_300 rexnetr_100- rexnetr_130- rexnetr_150-
        rexnetr_200 rexnetr_300
    """,
    "senet": """
        legacy_senet154 legacy_seresnet18 legacy_seresnet34 legacy_seresnet50 legacy_seresnet101
        legacy_seresnet152 legacy_seresnext26_32x4d legacy_seresnext50_32x4d legacy_seresnext101_32x4d
    """,
    "shvit": """
        shvit_s1 shvit_s2 shvit_s3 shvit_s4
    """,
    "sknet": """
        skresnet18 skresnet34 skresnet50- skresnet50d- skresnext50_32x4d
    """,
    "tresnet": """
        tresnet_l tresnet_m tresnet_v2_l tresnet_xl
    """,
    "vovnet": """
        eca_vovnet39b- ese_vovnet19b_dw ese_vovnet19b_slim- ese_vovnet19b_slim_dw- ese_vovnet39b
        ese_vovnet39b_evos- ese_vovnet57b ese_vovnet99b-
    """,
}

CATALOGUE: dict[str, dict[str, bool]] = {
    file: {name.removesuffix("-"): not name.endswith("-") for name in names.split()}
    for file, names in _FILES.items()
}
"""By file: whether there are published weights of each model."""
